/**
 * Names for the generated schema types, used by all pages. If the API renames a schema component, only this
 * file changes.
 */
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
export type PresetForm = Schemas["Preset"];
export type Preset = PresetForm["name"];
export type ProjectChanges = Schemas["PatchedProjectChangesRequest"];
export type FormEffect = Schemas["FormEffect"];
export type Invitation = Schemas["Invitation"];
export type InvitedTo = Schemas["InvitedTo"];
export type Check = Schemas["Check"];
export type CheckKind = Exclude<TaskDetail["kind"], "ranking">;
export type AuditEntry = Schemas["AuditEntry"];
export type Webhook = Schemas["Webhook"];
export type WebhookEvent = Schemas["WebhookEvent"];
export type WebhookDelivery = Schemas["WebhookDelivery"];
export type Import = Schemas["Import"];
export type ImportSummary = Schemas["ImportSummary"];
export type ImportPreview = Schemas["ImportPreview"];
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
/** Every part of an answer is optional in the API, but the page always sends all parts. */
export type Answer = Required<Schemas["SubmissionRequest"]>;
export type Run = Schemas["Run"];
export type RunKind = Run["kind"];
export type JobState = Schemas["JobState"];
export type RecipeKind = Schemas["RecipeKind"];
export type MetricsEvent = Schemas["MetricsEvent"];
export type SampleEvent = Schemas["SampleEvent"];
export type RunFailure = Schemas["Failure"];
export type RunPreset = Schemas["RunPreset"];
export type RunEstimate = Schemas["RunEstimate"];
export type ToldEstimate = Schemas["Told"];
export type Model = Schemas["Model"];
export type Exclusion = Schemas["Exclusion"];
export type ExclusionEffect = Schemas["ExclusionEffect"];
export type LiftEffect = Schemas["LiftEffect"];
export type Leaderboard = Schemas["Leaderboard"];
export type TaskListed = Schemas["TaskListed"];
export type TaskDetail = Schemas["TaskDetail"];
export type RankingListed = Schemas["RankingListed"];
export type RankingGiven = Schemas["RankingGiven"];
export type ModelReport = Schemas["ModelReport"];
export type RewardReport = Schemas["RewardReport"];
export type RewardComparison = Schemas["RewardComparison"];
export type JudgedPolicy = Schemas["Judged"];
