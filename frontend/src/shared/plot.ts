import "uplot/dist/uPlot.min.css";
import uPlot from "uplot";

const LEAST_WIDTH_PX = 120;

/** The value of a CSS colour variable in the active colour scheme. */
export const ink = (variable: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

/**
 * Draws a plot with the host element's width and the page's colours. Returns the plot and a function that
 * removes it.
 */
export function plotIn(
  host: HTMLElement,
  options: Omit<uPlot.Options, "width" | "axes"> & { axes: [x: uPlot.Axis, y: uPlot.Axis] },
  data: uPlot.AlignedData,
): { plot: uPlot; remove: () => void } {
  const axis = {
    stroke: ink("--ink-3"),
    font: "12px 'IBM Plex Sans Variable', sans-serif",
    grid: { stroke: ink("--line"), width: 1 },
    ticks: { show: false },
    gap: 4,
  };
  const [x, y] = options.axes;
  const plot = new uPlot(
    {
      legend: { show: false },
      ...options,
      width: Math.max(host.clientWidth, LEAST_WIDTH_PX),
      axes: [
        { ...axis, size: 28, ...x },
        { ...axis, size: 52, ...y },
      ],
    },
    data,
    host,
  );
  const resize = new ResizeObserver(() => {
    if (host.clientWidth > 0) plot.setSize({ width: host.clientWidth, height: options.height });
  });
  resize.observe(host);
  const remove = () => {
    resize.disconnect();
    plot.destroy();
  };
  return { plot, remove };
}
