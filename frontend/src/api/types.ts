/** The names the pages use for the generated schema: when the API renames a component, this is the only file to follow. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Me = Schemas["Me"];
export type LoginProvider = Schemas["Provider"];
export type Account = Schemas["Account"];
export type Enrolment = Schemas["Enrolment"];
export type ApiToken = Schemas["Token"];
export type CreatedToken = Schemas["CreatedToken"];
export type TokenScope = ApiToken["scopes"][number];
export type Project = Schemas["Project"];
export type Member = Schemas["Member"];
export type SkipWay = Schemas["SkipWay"];
export type Role = Schemas["Role"];
export type Preset = NonNullable<Schemas["NewProjectRequest"]["preset"]>;
export type ImportReport = Schemas["ImportReport"];
export type Progress = Schemas["Progress"];
export type Quality = Schemas["Quality"];
export type Estimate = Schemas["Estimate"];
export type AnnotatorQuality = Schemas["AnnotatorQuality"];
export type LeaderboardRow = Schemas["Standing"];
export type Snapshot = Schemas["Snapshot"];
export type ExportFormat = Schemas["ExportFormat"];
export type Selection = NonNullable<Schemas["NewSnapshotRequest"]["selection"]>;
export type Message = Schemas["Message"];
export type AnswerForm = Schemas["Form"];
export type Assignment = Schemas["Assignment"];
export type OwnFigures = Schemas["OwnFigures"];
export type Feedback = Schemas["Feedback"];
export type TaskProblem = Schemas["TaskProblem"];
export type TaskProblemKind = TaskProblem["kind"];
export type ReviewQueue = Schemas["ReviewQueue"];
export type ReviewShown = Schemas["ReviewShown"];
export type AnswerGiven = Schemas["AnswerGiven"];
export type ShownResponse = Schemas["ResponseShown"];
/** Every part of a submission is optional on the wire; the page always says each. */
export type Answer = Required<Schemas["SubmissionRequest"]>;
export type Run = Schemas["Run"];
export type RunKind = Run["kind"];
export type RunState = Run["state"];
export type RecipeKind = Schemas["RecipeKind"];
export type MetricsEvent = Schemas["MetricsEvent"];
export type SampleEvent = Schemas["SampleEvent"];
export type Model = Schemas["Model"];
