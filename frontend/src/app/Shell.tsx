import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, Outlet, useParams, useRouter } from "@tanstack/react-router";
import { api, rememberCsrfToken, unwrap } from "@/api/client";
import type { Me } from "@/api/types";
import { count } from "@/shared/format";
import { LanguageSelect } from "@/shared/i18n/LanguageSelect";
import { may, meQuery, projectQuery } from "@/shared/session";
import { Icon } from "@/shared/ui/Icon";
import { useActiveInSight } from "@/shared/ui/useActiveInSight";
import styles from "./shell.module.css";
import { useTexts } from "./texts";
import { useLeftUnsent } from "./useLeftUnsent";

const TABS = [
  { to: "/projects/$slug", label: "overview", shown: () => true, exact: true },
  { to: "/projects/$slug/rank", label: "rank", shown: may.rank },
  { to: "/projects/$slug/review", label: "review", shown: may.review },
  { to: "/projects/$slug/tasks", label: "tasks", shown: may.manage },
  { to: "/projects/$slug/quality", label: "quality", shown: may.readQuality },
  { to: "/projects/$slug/leaderboard", label: "leaderboard", shown: may.readQuality },
  { to: "/projects/$slug/data", label: "data", shown: may.manage },
  { to: "/projects/$slug/runs", label: "runs", shown: may.watchRuns },
  { to: "/projects/$slug/models", label: "models", shown: may.watchRuns },
  { to: "/projects/$slug/loop", label: "loop", shown: may.watchRuns },
  { to: "/projects/$slug/members", label: "members", shown: may.manage },
  { to: "/projects/$slug/settings", label: "settings", shown: may.manage },
] as const;

function ProjectTabs({ slug, me }: { slug: string; me: Me }) {
  const texts = useTexts();
  const { data: project } = useQuery(projectQuery(slug));
  const tabs = useActiveInSight(project !== undefined);
  if (!project) return <div className={styles.project} />;
  return (
    <>
      <span className={styles.slash} aria-hidden>
        /
      </span>
      <Link className={styles.project} to="/projects/$slug" params={{ slug }}>
        {project.name}
      </Link>
      <nav ref={tabs} className={styles.tabs} aria-label={texts.project}>
        {TABS.filter((tab) => tab.shown(me, project)).map((tab) => (
          <Link
            key={tab.to}
            to={tab.to}
            params={{ slug }}
            className={styles.tab}
            activeOptions={{ exact: "exact" in tab }}
          >
            {texts.tabs[tab.label]}
            {tab.label === "overview" && (project.counts.open_problems ?? 0) > 0 && (
              <span className={styles.count} title={texts.toSettle(project.counts.open_problems ?? 0)}>
                {count(project.counts.open_problems ?? 0)}
                <span className="visually-hidden"> {texts.toSettle(project.counts.open_problems ?? 0)}</span>
              </span>
            )}
          </Link>
        ))}
      </nav>
    </>
  );
}

function ColorSchemeButton() {
  const { setColorScheme } = useMantineColorScheme();
  const texts = useTexts();
  const scheme = useComputedColorScheme("light");
  const other = scheme === "dark" ? "light" : "dark";
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      aria-label={other === "dark" ? texts.useDark : texts.useLight}
      onClick={() => setColorScheme(other)}
    >
      <Icon name={scheme === "dark" ? "sun" : "moon"} />
    </ActionIcon>
  );
}

export function Shell() {
  const { data: me } = useSuspenseQuery(meQuery);
  useLeftUnsent(me?.id);
  const texts = useTexts();
  const { slug } = useParams({ strict: false });
  const queryClient = useQueryClient();
  const router = useRouter();

  async function logOut() {
    await unwrap(api.POST("/api/v1/auth/logout"));
    rememberCsrfToken("");
    queryClient.clear();
    await router.navigate({ to: "/login" });
  }

  if (!me) return null;
  return (
    <>
      <a className={styles.skip} href="#main">
        {texts.skip}
      </a>
      <header className={styles.bar}>
        <Link className={styles.brand} to="/" aria-label={texts.home}>
          <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" fill="var(--accent)" />
            <g
              fill="none"
              stroke="var(--on-accent)"
              strokeWidth="2.6"
              strokeLinecap="round"
              strokeLinejoin="round"
            >
              <path d="M8 10h9M8 16h6M8 22h3M15 23h3a6 6 0 0 0 6-6v-7M20.500 13 24 9.500l3.500 3.500" />
            </g>
          </svg>
          <span className={styles.brandName}>Rankloop</span>
        </Link>
        {slug ? <ProjectTabs slug={slug} me={me} /> : <div className={styles.project} />}
        <div className={styles.right}>
          <ColorSchemeButton />
          <button
            type="button"
            className={styles.user}
            popoverTarget="account"
            aria-label={texts.accountOf(me.username)}
          >
            {(me.name || me.username).slice(0, 1).toUpperCase()}
          </button>
          <div id="account" popover="auto" className={styles.account}>
            <p>
              {me.name || me.username}
              {me.is_admin && ` · ${texts.admin}`}
            </p>
            <Link
              to="/account"
              onClick={(event) => event.currentTarget.closest<HTMLElement>("[popover]")?.hidePopover()}
            >
              {texts.account}
            </Link>
            {may.launchRuns(me) && (
              <Link
                to="/queue"
                onClick={(event) => event.currentTarget.closest<HTMLElement>("[popover]")?.hidePopover()}
              >
                {texts.queue}
              </Link>
            )}
            <LanguageSelect label={texts.language} className={styles.language} />
            <button type="button" onClick={() => void logOut()}>
              {texts.logOut}
            </button>
          </div>
        </div>
      </header>
      <Outlet />
    </>
  );
}
