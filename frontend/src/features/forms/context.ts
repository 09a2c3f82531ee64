import { createContext, type Dispatch, useContext } from "react";
import type { EditorAction, EditorState, Path } from "./editor";

type Editor = {
  state: EditorState;
  dispatch: Dispatch<EditorAction>;
  problems: Readonly<Record<string, string>>;
};

const EditorContext = createContext<Editor | null>(null);

export const EditorProvider = EditorContext.Provider;

export function useEditor(): Editor & { problemAt: (path: Path) => string | undefined } {
  const editor = useContext(EditorContext);
  if (!editor) throw new Error("A part of the form editor stands outside of it.");
  return { ...editor, problemAt: (path) => editor.problems[path.join(".")] };
}
