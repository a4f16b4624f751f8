// A line to the server that opens itself again, and says whether it stands.
export type Status = "connecting" | "open" | "away";

export interface LineEvents {
  onText: (text: string) => void;
  onBytes: (bytes: ArrayBuffer) => void;
  /** Called whenever the line stands (again): send what the server must know. */
  onOpen: () => void;
  onStatus: (status: Status) => void;
}

const FIRST_WAIT = 250; // ms
const LONGEST_WAIT = 4000; // ms

export class Line {
  private socket: WebSocket | null = null;
  private wait = FIRST_WAIT;
  private timer = 0;
  private closed = false;

  constructor(
    private readonly path: string,
    private readonly events: LineEvents,
  ) {
    this.open();
  }

  get isOpen(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  send(message: unknown): boolean {
    if (!this.isOpen) return false;
    this.socket?.send(JSON.stringify(message));
    return true;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private open(): void {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}${this.path}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.events.onStatus("connecting");
    socket.onopen = () => {
      this.wait = FIRST_WAIT;
      this.events.onStatus("open");
      this.events.onOpen();
    };
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (typeof event.data === "string") this.events.onText(event.data);
      else this.events.onBytes(event.data);
    };
    socket.onclose = () => {
      if (this.closed) return;
      this.events.onStatus("away");
      this.timer = window.setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    };
  }
}
