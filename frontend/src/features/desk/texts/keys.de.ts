import type { Texts } from "@/shared/i18n";
import type { en } from "./keys.en";

export const de: Texts<typeof en> = {
  line: "Die wichtigsten Tasten",
  needed: {
    choose: "zu einer Antwort gehen",
    place: "auf ihren Platz setzen, 1 ist der beste",
    best: "auf ihren Platz unter den besten setzen",
    tie: "mit der darüber gleichstellen",
    leave: "nicht einordnen",
    scale: "sagen, welche besser ist",
    submit: "absenden",
    help: "alle Tasten",
  },
  hideLine: "Diese Zeile ausblenden",
  showLine: "Die wichtigsten Tasten über den Antworten zeigen",
};
