import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { rememberCsrfToken } from "@/api/client";
import { Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import { accountQuery, logOutEverywhere } from "../api/account";
import { useTexts } from "../texts";
import { PasswordPanel } from "./PasswordPanel";
import { SecondFactorPanel } from "./SecondFactorPanel";
import { TokensPanel } from "./TokensPanel";

export function AccountPage() {
  const texts = useTexts();
  const account = useQuery(accountQuery);
  return (
    <Page title={texts.title} lead={account.data && texts.loggedInAs(account.data.username)}>
      {account.isPending && <Loading label={texts.loading} />}
      {account.isError && <ProblemNotice error={account.error} />}
      {account.data && <TokensPanel account={account.data} />}
      {account.data?.has_password && <PasswordPanel />}
      {account.data && (
        <SecondFactorPanel
          state={account.data.second_factor}
          takesPassword={account.data.has_password ?? false}
        />
      )}
      <SessionsPanel />
    </Page>
  );
}

function SessionsPanel() {
  const texts = useTexts();
  const queryClient = useQueryClient();
  const router = useRouter();
  const end = useMutation({
    mutationFn: logOutEverywhere,
    onSuccess: async () => {
      rememberCsrfToken("");
      queryClient.clear();
      await router.navigate({ to: "/login" });
    },
  });
  return (
    <Panel title={texts.sessions.title}>
      <p>{texts.sessions.what}</p>
      {end.isError && <ProblemNotice error={end.error} />}
      <Button variant="default" mt={12} loading={end.isPending} onClick={() => end.mutate()}>
        {texts.sessions.end}
      </Button>
    </Panel>
  );
}
