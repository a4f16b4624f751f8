// Curves by uPlot, in the colours of the theme and with a description for those who do not see them.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { cssColour } from "./theme";

export interface Series {
  label: string;
  colour: string;
  dash?: number[];
  width?: number;
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
}

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = props.series.map((s) => `${s.label}|${s.colour}|${s.dash ?? ""}`).join(";");
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
  }, [props.data]);

  return <div ref={box} role="img" aria-label={props.description} style={{ minHeight: `${props.height}px` }} />;
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
