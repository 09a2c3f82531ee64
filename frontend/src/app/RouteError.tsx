import { Button } from "@mantine/core";
import { Link, useRouter } from "@tanstack/react-router";
import { asProblem } from "@/api/problem";
import { EmptyState, Page, ProblemNotice } from "@/shared/ui";

/** A new release replaced the files this page was built from; only a reload can find the new ones. */
const STALE_BUILD = /dynamically imported module|Importing a module script failed|preload/i;

export function RouteError({ error, reset }: { error: unknown; reset: () => void }) {
  const router = useRouter();
  const stale = error instanceof Error && STALE_BUILD.test(error.message);
  const retry = () => {
    if (stale) return window.location.reload();
    reset();
    void router.invalidate();
  };
  return (
    <Page title={asProblem(error).status === 404 ? "Not found" : "This page could not be shown"}>
      <ProblemNotice
        error={stale ? new Error("This page was updated on the server since you opened it.") : error}
        actions={
          <>
            <Button size="xs" onClick={retry}>
              {stale ? "Reload" : "Try again"}
            </Button>
            <Button size="xs" variant="default" component={Link} to="/">
              All projects
            </Button>
          </>
        }
      />
    </Page>
  );
}

export function RouteNotFound() {
  return (
    <Page title="Not found">
      <EmptyState
        title="There is no page at this address"
        actions={
          <Button component={Link} to="/">
            All projects
          </Button>
        }
      >
        <p>The link may be old, or a character got lost on its way here.</p>
      </EmptyState>
    </Page>
  );
}
