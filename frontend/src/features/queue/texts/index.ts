import { catalog } from "@/shared/i18n";
import { en } from "./en";

export const useTexts = catalog(en);
