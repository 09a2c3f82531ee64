import { Link } from "@tanstack/react-router";
import styles from "./settingsNav.module.css";

const PLACES = [
  { to: "/projects/$slug/settings", label: "General" },
  { to: "/projects/$slug/settings/form", label: "Answer form" },
  { to: "/projects/$slug/settings/checks", label: "Checks" },
  { to: "/projects/$slug/settings/webhooks", label: "Webhooks" },
  { to: "/projects/$slug/settings/audit", label: "Audit log" },
] as const;

/** The pages behind a project's Settings tab. */
export function SettingsNav({ slug }: { slug: string }) {
  return (
    <nav className={styles.nav} aria-label="Settings">
      {PLACES.map(({ to, label }) => (
        <Link key={to} to={to} params={{ slug }} activeOptions={{ exact: true }} className={styles.place}>
          {label}
        </Link>
      ))}
    </nav>
  );
}
