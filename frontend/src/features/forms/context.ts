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
  if (!editor) throw new Error("useEditor must be called inside an EditorProvider.");
  return { ...editor, problemAt: (path) => editor.problems[path.join(".")] };
}
