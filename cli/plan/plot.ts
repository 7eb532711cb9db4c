/** Steps per hour and the split against the votes per panel as one SVG, drawn by Apache ECharts without a browser. */
import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { poolNames } from "../../lib/scaling/observation.js";
import type { Plan } from "./estimate.js";

const ink = { text: "#444c56", axis: "#98a3b0", grid: "#e4e8ed" };
const colours = { policy: "#0072b2", grm: "#c44e00", metaRm: "#009e73", steps: "#1b222b" };
const names = { policy: "policy", grm: "GRM", metaRm: "meta RM" };

export function drawPlan({ inputs, byVotes }: Plan): string {
  use([BarChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);
  const chart = init(null, null, { renderer: "svg", ssr: true, width: 720, height: 420 });
  const label = { color: ink.text, fontSize: 11 };
  const axis = { axisLabel: label, nameTextStyle: label, axisLine: { lineStyle: { color: ink.axis } } };
  try {
    chart.setOption({
      animation: false,
      backgroundColor: "#ffffff",
      textStyle: { fontFamily: "system-ui, sans-serif" },
      title: {
        text: `${inputs.gpus} GPUs: split and steps per hour by votes`,
        left: 12,
        top: 6,
        textStyle: { color: ink.text, fontSize: 14 },
      },
      legend: { top: 32, left: 12, textStyle: label, itemGap: 24 },
      grid: { left: 60, right: 64, top: 88, bottom: 52 },
      xAxis: {
        ...axis,
        type: "category",
        name: "votes per panel, k",
        nameLocation: "middle",
        nameGap: 30,
        data: byVotes.map(({ k }) => String(k)),
      },
      yAxis: [
        {
          ...axis,
          type: "value",
          name: "GPUs",
          max: inputs.gpus,
          splitLine: { lineStyle: { color: ink.grid } },
        },
        { ...axis, type: "value", name: "steps per hour", min: 0, splitLine: { show: false } },
      ],
      series: [
        ...poolNames.map((pool) => ({
          type: "bar",
          name: names[pool],
          stack: "gpus",
          barWidth: "55%",
          data: byVotes.map(({ gpus }) => gpus[pool]),
          itemStyle: { color: colours[pool], opacity: 0.75 },
        })),
        {
          type: "line",
          name: "steps per hour",
          yAxisIndex: 1,
          symbol: "circle",
          symbolSize: 7,
          data: byVotes.map(({ stepsPerHour }) => Number(stepsPerHour.toFixed(2))),
          lineStyle: { color: colours.steps, width: 2 },
          itemStyle: { color: colours.steps },
        },
      ],
    });
    return `${chart.renderToSVGString()}\n`;
  } finally {
    chart.dispose();
  }
}
