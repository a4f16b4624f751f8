// Curves by uPlot, in the colours of the theme and with a description for those who do not see them.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { cssColour } from "./theme";

export interface Series {
  label: string;
  colour: string;
  dash?: number[];
  width?: number;
  /** Number of the row of data up to which the space from this curve is filled. */
  fillTo?: number;
}
/** A point that a curve should pass on the right side. */
export interface Mark {
  x: number;
  y: number;
  colour: string;
  met: boolean;
  up: boolean;
}

export interface ChartProps {
  /** What the chart shows, for screen readers. */
  description: string;
  xLabel: string;
  yLabel: string;
  /** First the places, then the values of each series. */
  data: (number | null)[][];
  series: Series[];
  height: number;
  xRange?: [number, number];
  yRange?: [number, number];
  marks?: Mark[];
}

/** A height, px: the second one on pages that are wide enough for charts beside all else. */
export function useHeight(low: number, high: number): number {
  const measure = () => (innerWidth >= 1900 && innerHeight >= 1000 ? high : low);
  const [height, setHeight] = useState(measure());
  useEffect(() => {
    const follow = () => setHeight(measure());
    addEventListener("resize", follow);
    return () => removeEventListener("resize", follow);
  }, []);
  return height;
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = props.series.map((s) => `${s.label}|${s.colour}|${s.dash ?? ""}|${s.fillTo ?? ""}`).join(";");
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      if (box.current) plot.current = build(box.current, latest);
    };
    make();
    const observer = new ResizeObserver(() => {
      const width = box.current?.clientWidth ?? 0;
      if (plot.current && width > 0 && width !== plot.current.width)
        plot.current.setSize({ width, height: latest.current.height });
    });
    if (box.current) observer.observe(box.current);
    addEventListener("themechange", make);
    return () => {
      removeEventListener("themechange", make);
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, props.xLabel, props.yLabel, props.height]);

  useEffect(() => {
    plot.current?.setData(props.data as uPlot.AlignedData);
  }, [props.data, props.marks]);

  return <div ref={box} class="chart" role="img" aria-label={props.description} style={{ minHeight: `${props.height}px` }} />;
}

function build(box: HTMLElement, latest: { current: ChartProps }): uPlot {
  const props = latest.current;
  const text = cssColour("--muted");
  const grid = cssColour("--line");
  const size = Math.round(0.78 * parseFloat(getComputedStyle(document.documentElement).fontSize));
  const axis = (label: string): uPlot.Axis => ({
    label,
    labelSize: size + 10,
    labelGap: 2,
    size: size * 3,
    gap: 4,
    font: `${size}px ${cssColour("--font")}`,
    labelFont: `${size}px ${cssColour("--font")}`,
    stroke: text,
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid, width: 1, size: 4 },
  });
  const options: uPlot.Options = {
    width: Math.max(box.clientWidth, 120),
    height: props.height,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false, setScale: false }, points: { show: false } },
    scales: {
      x: { time: false, range: (_u, low, high) => latest.current.xRange ?? [low, high] },
      y: { range: (_u, _low, high) => latest.current.yRange ?? [0, Math.max(high * 1.06, 1e-6)] },
    },
    bands: props.series.flatMap((s, k) =>
      s.fillTo === undefined ? [] : [{ series: [k + 1, s.fillTo] as [number, number], fill: `${s.colour}33` }],
    ),
    hooks: { draw: [(plot) => drawMarks(plot, latest.current.marks ?? [])] },
    axes: [axis(props.xLabel), { ...axis(props.yLabel), size: size * 3.6 }],
    series: [
      {},
      ...props.series.map((s) => ({
        label: s.label,
        stroke: s.colour,
        width: s.width ?? 2,
        dash: s.dash,
        points: { show: false },
      })),
    ],
  };
  return new uPlot(options, props.data as uPlot.AlignedData, box);
}

/** Triangles that point to where curves should be; hollow where they are not. */
function drawMarks(plot: uPlot, marks: Mark[]): void {
  const { ctx } = plot;
  const r = 5.5 * devicePixelRatio;
  ctx.save();
  ctx.setLineDash([]);
  for (const mark of marks) {
    const x = plot.valToPos(mark.x, "x", true);
    const y = plot.valToPos(mark.y, "y", true);
    const d = mark.up ? -1 : 1;
    ctx.beginPath();
    ctx.moveTo(x - r, y - d * r * 0.8);
    ctx.lineTo(x + r, y - d * r * 0.8);
    ctx.lineTo(x, y + d * r * 0.9);
    ctx.closePath();
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.fillStyle = mark.met ? mark.colour : cssColour("--panel");
    ctx.strokeStyle = mark.met ? cssColour("--text") : cssColour("--bad");
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}
