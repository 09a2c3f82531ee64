import { type ReactNode, useId, useLayoutEffect, useRef } from "react";
import { usePartTexts } from "../texts/parts";
import styles from "./dialog.module.css";
import { Icon } from "./Icon";

/** The browser's modal dialog: it traps the focus, closes on Escape and restores the focus, without a library. */
export function Dialog({
  title,
  onClose,
  wide = false,
  closeKey,
  children,
  actions,
}: {
  title: string;
  onClose: () => void;
  wide?: boolean;
  /** The shortcut that opened the dialog also closes it. */
  closeKey?: string;
  children: ReactNode;
  actions?: ReactNode;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const texts = usePartTexts();
  // The dialog must be closed while it is still in the document, because otherwise the browser does not
  // restore the focus.
  useLayoutEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    // React's autoFocus has no effect, because it runs before the dialog opens. When the dialog opens, the browser
    // focuses the first button, which is the close button.
    dialog?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className={`${styles.dialog} ${wide ? styles.wide : ""}`}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onKeyDown={(event) => {
        if (event.key !== closeKey) return;
        // Once the dialog is closed, the page handles keys again. Without `preventDefault`, the page would
        // also handle the key event that closed the dialog.
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        if (event.target === element.current) onClose();
      }}
    >
      <div className={styles.inside}>
        <header className={styles.head}>
          <h2 id={titleId}>{title}</h2>
          <button type="button" className={styles.close} onClick={onClose} aria-label={texts.close}>
            <Icon name="close" />
          </button>
        </header>
        <div className={styles.body}>{children}</div>
        {actions && <footer className={styles.actions}>{actions}</footer>}
      </div>
    </dialog>
  );
}
