import type { Role } from "@/api/types";
import { useTexts } from "../texts";

const ROLES: readonly Role[] = ["annotator", "reviewer", "manager"];

/** The roles as options for a select, each with a description of the role's permissions. */
export function useRoleOptions(): { value: Role; label: string }[] {
  const { roles } = useTexts();
  return ROLES.map((value) => ({ value, label: `${roles[value].title}: ${roles[value].means}` }));
}
