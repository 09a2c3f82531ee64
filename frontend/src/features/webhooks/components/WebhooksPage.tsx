import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { EmptyState, Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import { SettingsNav } from "@/shared/ui/SettingsNav";
import { makeWebhook, type WebhookSettings, webhooksQuery } from "../api/webhooks";
import { useTexts } from "../texts";
import { Secret } from "./Secret";
import { WebhookCard } from "./WebhookCard";
import { WebhookForm } from "./WebhookForm";

const BLANK: WebhookSettings = { url: "", description: "", events: ["snapshot.frozen", "run.finished"] };

export function WebhooksPage() {
  const t = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/settings/webhooks" });
  const webhooks = useQuery(webhooksQuery(slug));
  return (
    <Page title={t.title} lead={t.lead}>
      <SettingsNav slug={slug} />
      <NewWebhook slug={slug} />
      {webhooks.isError && <ProblemNotice error={webhooks.error} />}
      {webhooks.isPending && <Loading label={t.loading} />}
      {webhooks.data?.length === 0 && (
        <EmptyState title={t.emptyTitle}>
          <p>{t.emptyText}</p>
        </EmptyState>
      )}
      {webhooks.data?.map((webhook) => (
        <WebhookCard key={webhook.id} slug={slug} webhook={webhook} />
      ))}
    </Page>
  );
}

function NewWebhook({ slug }: { slug: string }) {
  const t = useTexts();
  const queryClient = useQueryClient();
  const make = useMutation({
    mutationFn: (settings: WebhookSettings) => makeWebhook(slug, settings),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: webhooksQuery(slug).queryKey }),
  });
  return (
    <Panel title={t.newTitle}>
      <WebhookForm
        key={make.data?.webhook.id ?? "new"}
        start={BLANK}
        label={t.make}
        error={make.error}
        busy={make.isPending}
        onSave={(settings) => make.mutate(settings)}
      />
      {make.data && <Secret secret={make.data.secret} />}
    </Panel>
  );
}
