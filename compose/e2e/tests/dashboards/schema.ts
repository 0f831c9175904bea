// What a dashboard of ours may be: Grafana's own types (npm's @grafana/schema), closed where they are open. A key that they
// do not have, a word that is none of theirs and a number that should be a text are mistakes that the compiler names.
import type * as grafana from "@grafana/schema";
import type { Options as BarGauge } from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type { Options as Logs } from "@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen";
import type { LokiDataQuery } from "@grafana/schema/dist/esm/raw/composable/loki/dataquery/x/LokiDataQuery_types.gen";
import type { PrometheusDataQuery } from "@grafana/schema/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen";
import type { Options as Stat } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {
  FieldConfig as StateTimelineField,
  Options as StateTimeline,
} from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type { Options as Table } from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type { TempoQuery } from "@grafana/schema/dist/esm/raw/composable/tempo/dataquery/x/TempoDataQuery_types.gen";
import type { Options as TimeSeries } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// In JSON the words of an enumeration are texts.
type Json<T> = 0 extends 1 & T
  ? T
  : unknown extends T
    ? T
    : T extends string
      ? `${T}`
      : T extends Array<infer Item>
        ? Json<Item>[]
        : T extends object
          ? { [Key in keyof T]: Json<T[Key]> }
          : T;
type None = Record<string, never>;

type Query<Type extends string, Asked> = Omit<Json<Asked>, "datasource" | "refId"> & {
  datasource: { type: Type; uid: `\${${string}}` };
  refId: string;
};
/** What is asked, by the type of its data source. Grafana has `queryType` as any text. */
export interface Queries {
  prometheus: Query<"prometheus", PrometheusDataQuery>;
  loki: Query<"loki", Omit<LokiDataQuery, "queryType">> & { queryType: "range" | "instant" };
  tempo: Query<"tempo", Omit<TempoQuery, "queryType">> & { queryType: "traceql" };
}

type Defaults<Custom> = Omit<Json<grafana.FieldConfig>, "custom" | "links"> & {
  custom?: Json<Custom>;
  links?: Link[];
};
type Property<Custom> = { id: keyof Omit<grafana.FieldConfig, "custom"> | `custom.${string & keyof Custom}`; value: unknown };
type Override<Custom> = { matcher: { id: "byName" | "byFrameRefID"; options: string }; properties: Property<Custom>[] };
type Link = { title: string; url: string; targetBlank: boolean };
// Those of @grafana/data, of which there are no types here.
type Transformation =
  | { id: "merge"; options: None }
  | { id: "filterFieldsByName"; options: { include: { names: string[] } } }
  | {
      id: "organize";
      options: {
        excludeByName: Record<string, boolean>;
        indexByName: Record<string, number>;
        renameByName: Record<string, string>;
      };
    };

type Panel<Kind extends string, Options, Custom> = Omit<
  Json<grafana.Panel>,
  "type" | "options" | "fieldConfig" | "targets" | "transformations" | "datasource"
> & {
  type: Kind;
  datasource: { type: string; uid: string };
  options: Json<Options>;
  fieldConfig: { defaults: Defaults<Custom>; overrides: Override<Custom>[] };
  transformations?: Transformation[];
};
/** Panels without what they ask, by their type. */
export interface Panels {
  stat: Panel<"stat", Stat, None>;
  bargauge: Panel<"bargauge", BarGauge, None>;
  timeseries: Panel<"timeseries", TimeSeries, grafana.GraphFieldConfig>;
  "state-timeline": Panel<"state-timeline", StateTimeline, StateTimelineField>;
  table: Panel<"table", Table, grafana.TableFieldOptions>;
  logs: Panel<"logs", Logs, None>;
  traces: Panel<"traces", None, None>;
}

// What the data source of Prometheus adds to annotations.
type Annotation = Json<grafana.AnnotationQuery> & {
  expr: string;
  step: string;
  tagKeys: string;
  textFormat: string;
  titleFormat: string;
  useValueForTime?: boolean;
};

type Variable = Omit<Json<grafana.VariableModel>, "current"> & {
  // A data source is chosen by Grafana.
  current: Json<grafana.VariableOption> | None;
  // What people read in the list of variables.
  definition?: string;
};
/** A dashboard without its panels. */
export type Dashboard = Omit<Json<grafana.Dashboard>, "panels" | "annotations" | "templating"> & {
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};
