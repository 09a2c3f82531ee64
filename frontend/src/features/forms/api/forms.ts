import { api, unwrap } from "@/api/client";
import type { AnswerForm, FormEffect, PresetForm, Project } from "@/api/types";

/** Whether the project can use `form`, and the effect of using it. The project is not changed. */
export async function checkForm(slug: string, form: unknown, signal?: AbortSignal): Promise<FormEffect> {
  return unwrap(
    api.POST("/api/v1/projects/{slug}/form/check", {
      params: { path: { slug } },
      body: { form: form as AnswerForm },
      ...(signal && { signal }),
    }),
  );
}

export async function saveForm(slug: string, form: AnswerForm): Promise<Project> {
  return unwrap(api.PATCH("/api/v1/projects/{slug}/", { params: { path: { slug } }, body: { form } }));
}

export async function presets(): Promise<PresetForm[]> {
  return unwrap(api.GET("/api/v1/presets/"));
}
