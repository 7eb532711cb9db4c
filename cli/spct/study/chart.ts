/** Accuracy against the number of votes, each judge with and without its meta RM, as an SVG. */
import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { curves } from "./conditions.js";
import type { Findings } from "./findings.js";
import { type Judge, judgeNames, judges } from "./stages.js";

const width = 680;
const height = 400;
/** Told apart by every kind of colour sight. */
const colours: Record<Judge, string> = { base: "#5a6472", rft: "#0072b2", rl: "#c44e00" };
const ink = { text: "#444c56", axis: "#98a3b0", grid: "#e4e8ed" };

export function drawFindings(findings: Pick<Findings, "curves">): string {
  use([LineChart, GridComponent, LegendComponent, SVGRenderer]);
  const ks = [...new Set(curves.map(({ k }) => k))].toSorted((a, b) => a - b);
  const lines = judges.flatMap((judge) =>
    [false, true].map((guided) => ({
      name: `${judgeNames[judge]}${guided ? " with meta RM" : ""}`,
      colour: colours[judge],
      dashed: guided,
      points: ks.map((k) => {
        const condition = curves.find((each) => each.k === k && (each.metaKeep !== null) === guided);
        const figure = condition === undefined ? undefined : findings.curves[judge][condition.name];
        return figure ? Number((100 * figure.overall.value).toFixed(2)) : null;
      }),
    })),
  );
  const shown = lines.filter(({ points }) => points.some((point) => point !== null));
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height });
  try {
    const label = { color: ink.text, fontSize: 12 };
    chart.setOption({
      animation: false,
      textStyle: { fontFamily: "system-ui, sans-serif" },
      grid: { left: 56, right: 20, top: 92, bottom: 48 },
      legend: {
        top: 8,
        left: 12,
        itemWidth: 30,
        itemGap: 22,
        textStyle: label,
        data: shown.map(({ name }) => name),
      },
      xAxis: {
        type: "category",
        name: "votes",
        nameLocation: "middle",
        nameGap: 28,
        nameTextStyle: label,
        data: ks.map(String),
        axisLabel: label,
        axisLine: { lineStyle: { color: ink.axis } },
      },
      yAxis: {
        type: "value",
        name: "accuracy, %",
        nameTextStyle: { ...label, align: "left" },
        scale: true,
        axisLabel: label,
        splitLine: { lineStyle: { color: ink.grid } },
      },
      series: shown.map(({ name, colour, dashed, points }) => ({
        type: "line",
        name,
        data: points,
        symbol: dashed ? "rect" : "circle",
        symbolSize: 6,
        itemStyle: { color: colour },
        lineStyle: { color: colour, width: 2, type: dashed ? [6, 3] : "solid" },
      })),
    });
    const svg = chart
      .renderToSVGString()
      .replace(/<style[\s\S]*?<\/style>/g, "")
      .replace(/ class="[^"]*"/g, "")
      .replace(/ (ecmeta_\w+|pointer-events)="[^"]*"/g, "")
      .replace(
        /^(<svg[^>]*>)/,
        `$1<title>Accuracy against votes</title><rect width="100%" height="100%" fill="#ffffff"/>`,
      );
    return `${svg}\n`;
  } finally {
    chart.dispose();
  }
}
