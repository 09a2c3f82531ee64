import {
  closestCenter,
  DndContext,
  type DragEndEvent,
  DragOverlay,
  MeasuringStrategy,
  PointerSensor,
  useSensor,
  useSensors,
} from "@dnd-kit/core";
import { SortableContext, useSortable, verticalListSortingStrategy } from "@dnd-kit/sortable";
import { CSS } from "@dnd-kit/utilities";
import { type CSSProperties, type ReactNode, useState } from "react";

/** A press that travels less than this is a click on the handle, not a drag. */
const DRAG_STARTS_AFTER_PX = 4;

/** dnd-kit's own announcements are off: the desk announces every change of the ranking itself, however it was made. */
const SILENT = {
  announcements: {
    onDragStart: () => undefined,
    onDragOver: () => undefined,
    onDragEnd: () => undefined,
    onDragCancel: () => undefined,
  },
  screenReaderInstructions: { draggable: "" },
};

const MEASURE_ALWAYS = { droppable: { strategy: MeasuringStrategy.Always } };

/**
 * The only place that knows the drag library. Dragging is one way among three; keys and buttons reach every order too, so
 * the library's keyboard mode is not used.
 */
export function RankList({
  order,
  onDrop,
  renderLifted,
  children,
}: {
  order: readonly string[];
  onDrop: (id: string, index: number) => void;
  renderLifted: (id: string) => ReactNode;
  children: (dragging: boolean) => ReactNode;
}) {
  const [lifted, setLifted] = useState<string | null>(null);
  const sensors = useSensors(
    useSensor(PointerSensor, { activationConstraint: { distance: DRAG_STARTS_AFTER_PX } }),
  );

  function end({ active, over }: DragEndEvent) {
    setLifted(null);
    const index = over ? order.indexOf(String(over.id)) : -1;
    if (index >= 0) onDrop(String(active.id), index);
  }

  return (
    <DndContext
      sensors={sensors}
      collisionDetection={closestCenter}
      measuring={MEASURE_ALWAYS}
      accessibility={SILENT}
      onDragStart={({ active }) => setLifted(String(active.id))}
      onDragEnd={end}
      onDragCancel={() => setLifted(null)}
    >
      <SortableContext items={[...order]} strategy={verticalListSortingStrategy}>
        {children(lifted !== null)}
      </SortableContext>
      <DragOverlay dropAnimation={null}>{lifted === null ? null : renderLifted(lifted)}</DragOverlay>
    </DndContext>
  );
}

export function useRankItem(id: string) {
  const { setNodeRef, setActivatorNodeRef, listeners, transform, transition, isDragging } = useSortable({
    id,
  });
  const style: CSSProperties = { transform: CSS.Translate.toString(transform), transition };
  return {
    itemRef: setNodeRef,
    handleRef: setActivatorNodeRef,
    handleProps: listeners ?? {},
    style,
    isDragging,
  };
}
