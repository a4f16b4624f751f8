// Colour maps that rise evenly in brightness, so that they read without colour vision and in grey.
export type MapName = "viridis" | "cividis" | "inferno" | "grey";

const STOPS: Record<MapName, string[]> = {
  viridis: ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"],
  cividis: ["00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a59c74", "c3b369", "e1cc55", "fee838"],
  inferno: ["1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06", "f7d13d", "fcffa4"],
  grey: ["202020", "f0f0f0"],
};

export const MAPS: { name: MapName; title: string }[] = [
  { name: "viridis", title: "Viridis" },
  { name: "cividis", title: "Cividis (for all colour vision)" },
  { name: "inferno", title: "Inferno" },
  { name: "grey", title: "Grey" },
];

/** 256 colours of a map as r, g, b, 0 to 255. */
export function table(name: MapName): Uint8ClampedArray {
  const stops = STOPS[name].map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  const colours = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(place), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      const [low, high] = [stops[k]?.[c] ?? 0, stops[k + 1]?.[c] ?? 0];
      colours[3 * i + c] = low + (high - low) * (place - k);
    }
  }
  return colours;
}

/** Colours that differ for all kinds of colour vision (Okabe and Ito). */
export const DISTINCT = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];
