import { Link } from "@tanstack/react-router";
import { useTexts } from "../texts";
import styles from "./settingsNav.module.css";
import { useActiveInSight } from "./useActiveInSight";

const PLACES = [
  { to: "/projects/$slug/settings", label: "general" },
  { to: "/projects/$slug/settings/form", label: "form" },
  { to: "/projects/$slug/settings/checks", label: "checks" },
  { to: "/projects/$slug/settings/webhooks", label: "webhooks" },
  { to: "/projects/$slug/settings/audit", label: "audit" },
] as const;

/** The pages in a project's Settings tab. */
export function SettingsNav({ slug }: { slug: string }) {
  const t = useTexts().settings;
  const row = useActiveInSight();
  return (
    <nav ref={row} className={styles.nav} aria-label={t.nav}>
      {PLACES.map(({ to, label }) => (
        <Link key={to} to={to} params={{ slug }} activeOptions={{ exact: true }} className={styles.place}>
          {t[label]}
        </Link>
      ))}
    </nav>
  );
}
