/**
 * The few forms of panels that covote's dashboards are made of, and the variables that all of them have.
 *
 * A panel has a purpose: its description says what it answers and what to do when it looks wrong.
 */

import * as common from "@grafana/grafana-foundation-sdk/common";
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  SortOrder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  CustomVariableBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TimeseriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

/** What every query is narrowed to. A series without one of the labels passes when all values are chosen. */
const chosen = 'cluster=~"$cluster",namespace=~"$namespace"';

/** A metric of the chosen cluster, with more matchers: `of("covote_rewards_total", 'outcome="value"')`. */
export function of(metric: string, matchers = ""): string {
  return `${metric}{${chosen}${matchers && `,${matchers}`}}`;
}

/** Per second, over what Grafana thinks is right for the range that is shown. */
export function rate(metric: string, matchers = ""): string {
  return `rate(${of(metric, matchers)}[$__rate_interval])`;
}

/** A quantile of a histogram, over all its labels but `by`. */
export function quantile(q: number, histogram: string, by: readonly string[] = []): string {
  return `histogram_quantile(${q}, sum by (${["le", ...by].join(", ")}) (${rate(`${histogram}_bucket`)}))`;
}

/** The mean of a histogram's values. */
export function mean(histogram: string, by: readonly string[] = []): string {
  const sum = (part: string): string => `sum by (${by.join(", ")}) (${rate(`${histogram}_${part}`)})`;
  return by.length === 0
    ? `sum(${rate(`${histogram}_sum`)}) / sum(${rate(`${histogram}_count`)})`
    : `${sum("sum")} / ${sum("count")}`;
}

export interface Query {
  expr: string;
  /** What the legend says, with `{{label}}`s. */
  legend: string;
}

/** From green: the values at which it turns yellow and red; `below`: it does when it falls under them. */
export interface Limits {
  warn?: number;
  bad: number;
  below?: boolean;
}

export interface PanelSpec {
  title: string;
  /** What it answers, and what to do when it looks wrong. */
  description: string;
  /** One of Grafana's: s, percentunit, reqps, short, bytes … */
  unit: string;
  queries: readonly Query[];
  limits?: Limits;
  min?: number;
  max?: number;
  /** Parts of a whole, one on the other. */
  stacked?: boolean;
  /** Out of 24. */
  width?: number;
}

export type PanelForm = "graph" | "number";
export interface Section {
  title: string;
  panels: readonly (PanelSpec & { form: PanelForm })[];
}

export function graph(spec: PanelSpec): PanelSpec & { form: PanelForm } {
  return { ...spec, form: "graph" };
}

export function number(spec: PanelSpec): PanelSpec & { form: PanelForm } {
  return { ...spec, form: "number" };
}

export interface DashboardSpec {
  uid: string;
  title: string;
  description: string;
  sections: readonly Section[];
  /** Choices that the queries use, beside cluster and namespace: the first value is the default. */
  choices?: readonly { name: string; label: string; description: string; values: readonly string[] }[];
  /** How far back it looks at first. */
  from?: string;
}

export function dashboard(spec: DashboardSpec): Dashboard {
  const builder = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags(["covote"])
    .editable()
    .tooltip(DashboardCursorSync.Crosshair)
    .refresh("30s")
    .time({ from: spec.from ?? "now-1h", to: "now" })
    .timezone("browser")
    .link(
      new DashboardLinkBuilder("covote")
        .type(DashboardLinkType.Dashboards)
        .tags(["covote"])
        .asDropdown(true)
        .keepTime(true)
        .includeVars(true),
    )
    .withVariable(new DatasourceVariableBuilder("datasource").label("Prometheus").type("prometheus"))
    .withVariable(labelVariable("cluster", "label_values(covote_build_info, cluster)"))
    .withVariable(
      labelVariable("namespace", 'label_values(covote_build_info{cluster=~"$cluster"}, namespace)'),
    );
  for (const { name, label, description, values } of spec.choices ?? []) {
    builder.withVariable(
      new CustomVariableBuilder(name)
        .label(label)
        .description(description)
        .values(values.join(","))
        .current({ selected: true, text: values[0] as string, value: values[0] as string }),
    );
  }
  for (const { title, panels } of spec.sections) {
    builder.withRow(new RowBuilder(title));
    for (const panel of panels) builder.withPanel(panel.form === "graph" ? graphOf(panel) : numberOf(panel));
  }
  const built = builder.build();
  // Panels are told apart by numbers; the builder gives none.
  built.panels?.forEach((panel, i) => {
    panel.id = i + 1;
  });
  return built;
}

function labelVariable(name: string, query: string): QueryVariableBuilder {
  return (
    new QueryVariableBuilder(name)
      .label(name)
      .datasource(datasource)
      .query(query)
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .multi(true)
      .includeAll(true)
      // Also series without the label.
      .allValue(".*")
      .current({ selected: true, text: "All", value: "$__all" })
  );
}

const datasource = { type: "prometheus", uid: "$datasource" } as const;

function graphOf(spec: PanelSpec): TimeseriesBuilder {
  const { title, description, unit, stacked = false, width = 8 } = spec;
  const panel = new TimeseriesBuilder()
    .title(title)
    .description(description)
    .datasource(datasource)
    .unit(unit)
    .span(width)
    .height(8)
    .lineWidth(1)
    .fillOpacity(stacked ? 40 : 8)
    .stacking(new common.StackingConfigBuilder().mode(stacked ? StackingMode.Normal : StackingMode.None))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .calcs([]),
    )
    .targets(targetsOf(spec));
  if (spec.limits !== undefined) {
    panel
      .thresholds(thresholdsOf(spec.limits))
      .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  }
  if (spec.min !== undefined) panel.min(spec.min);
  if (spec.max !== undefined) panel.max(spec.max);
  return panel;
}

function numberOf(spec: PanelSpec): StatBuilder {
  const { title, description, unit, limits, width = 4 } = spec;
  const panel = new StatBuilder()
    .title(title)
    .description(description)
    .datasource(datasource)
    .unit(unit)
    .span(width)
    .height(4)
    .colorMode(limits === undefined ? BigValueColorMode.None : BigValueColorMode.Background)
    .graphMode(BigValueGraphMode.Area)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]).values(false))
    .targets(targetsOf(spec));
  if (limits !== undefined) panel.thresholds(thresholdsOf(limits));
  if (spec.min !== undefined) panel.min(spec.min);
  if (spec.max !== undefined) panel.max(spec.max);
  return panel;
}

function targetsOf({ queries }: PanelSpec): DataqueryBuilder[] {
  return queries.map(({ expr, legend }, i) =>
    new DataqueryBuilder()
      .refId(String.fromCharCode("A".charCodeAt(0) + i))
      .datasource(datasource)
      .expr(expr)
      .legendFormat(legend)
      .range(),
  );
}

function thresholdsOf({ warn, bad, below = false }: Limits): ThresholdsConfigBuilder {
  // Grafana wants ascending steps, the first without a value.
  const steps: Threshold[] = below
    ? [
        { color: "red", value: null },
        { color: warn === undefined ? "green" : "yellow", value: bad },
        ...(warn === undefined ? [] : [{ color: "green", value: warn }]),
      ]
    : [
        { color: "green", value: null },
        ...(warn === undefined ? [] : [{ color: "yellow", value: warn }]),
        { color: "red", value: bad },
      ];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}
