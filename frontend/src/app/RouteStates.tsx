import { Button } from "@mantine/core";
import { Link, useRouter } from "@tanstack/react-router";
import { asProblem } from "@/api/problem";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { useTexts } from "./texts";

/** Matches the errors that occur after a new release has replaced this page's files. */
const STALE_BUILD = /dynamically imported module|Importing a module script failed|preload/i;

export function RouteError({ error, reset }: { error: unknown; reset: () => void }) {
  const texts = useTexts();
  const router = useRouter();
  const stale = error instanceof Error && STALE_BUILD.test(error.message);
  const retry = () => {
    if (stale) return window.location.reload();
    reset();
    void router.invalidate();
  };
  return (
    <Page title={asProblem(error).status === 404 ? texts.notFound : texts.notShown}>
      <ProblemNotice
        error={stale ? new Error(texts.updated) : error}
        actions={
          <>
            <Button size="xs" onClick={retry}>
              {stale ? texts.reload : texts.tryAgain}
            </Button>
            <Button size="xs" variant="default" component={Link} to="/">
              {texts.allProjects}
            </Button>
          </>
        }
      />
    </Page>
  );
}

export function RouteNotFound() {
  const texts = useTexts();
  return (
    <Page title={texts.notFound}>
      <EmptyState
        title={texts.noPage}
        actions={
          <Button component={Link} to="/">
            {texts.allProjects}
          </Button>
        }
      >
        <p>{texts.noPageWhy}</p>
      </EmptyState>
    </Page>
  );
}

export function RoutePending() {
  return <Loading label={useTexts().loading} />;
}
