import {
  type CollisionDetection,
  DndContext,
  type DragEndEvent,
  DragOverlay,
  MeasuringStrategy,
  type Modifier,
  PointerSensor,
  useSensor,
  useSensors,
} from "@dnd-kit/core";
import {
  horizontalListSortingStrategy,
  SortableContext,
  type SortingStrategy,
  useSortable,
  verticalListSortingStrategy,
} from "@dnd-kit/sortable";
import { CSS, getEventCoordinates } from "@dnd-kit/utilities";
import { type CSSProperties, type ReactNode, useMemo, useState } from "react";
import type { Ranking } from "../order/rankingReducer";

/**
 * A press on the handle is a click, not a drag, if the pointer moves less than `distance` pixels. All renders
 * share this object, because new sensor options on each render would cause every card to render again.
 */
const DRAG_STARTS_AFTER = { activationConstraint: { distance: 4 } };

/** dnd-kit's own announcements are off, because the desk announces every change to the ranking. */
const SILENT = {
  announcements: {
    onDragStart: () => undefined,
    onDragOver: () => undefined,
    onDragEnd: () => undefined,
    onDragCancel: () => undefined,
  },
  screenReaderInstructions: { draggable: "" },
};

/**
 * Distance between the pointer and the top-left corner of the dragged card. The card is positioned relative
 * to the pointer, because long cards collapse when a drag starts and then no longer match their initial
 * rectangle.
 */
const GRIP_OFFSET_PX = 20;

const heldAtGrip: Modifier = ({ activatorEvent, draggingNodeRect, transform }) => {
  const start = activatorEvent && getEventCoordinates(activatorEvent);
  if (!start || !draggingNodeRect) return transform;
  return {
    ...transform,
    x: transform.x + start.x - draggingNodeRect.left - GRIP_OFFSET_PX,
    y: transform.y + start.y - draggingNodeRect.top - GRIP_OFFSET_PX,
  };
};

/** The direction of the list. */
export type Axis = "down" | "across";

/** Chooses the drop target nearest to the pointer, regardless of the position of the dragged card. */
const nearestToPointer =
  (axis: Axis): CollisionDetection =>
  ({ droppableContainers, droppableRects, pointerCoordinates }) => {
    if (!pointerCoordinates) return [];
    return droppableContainers
      .flatMap((droppableContainer) => {
        const rect = droppableRects.get(droppableContainer.id);
        // Hidden cards are not drop targets.
        if (!rect || rect.width === 0) return [];
        const value =
          axis === "across"
            ? Math.abs(rect.left + rect.width / 2 - pointerCoordinates.x)
            : Math.abs(rect.top + rect.height / 2 - pointerCoordinates.y);
        return [{ id: droppableContainer.id, data: { droppableContainer, value } }];
      })
      .sort((a, b) => a.data.value - b.data.value);
  };

const COLLISION: Readonly<Record<Axis, CollisionDetection>> = {
  down: nearestToPointer("down"),
  across: nearestToPointer("across"),
};

/**
 * Makes no room for the dragged card. If most of the list is hidden, making room would move cards off the
 * screen.
 */
const noRoomMade: SortingStrategy = () => null;

const STRATEGY: Readonly<Record<Axis, SortingStrategy>> = {
  down: verticalListSortingStrategy,
  across: horizontalListSortingStrategy,
};

const MEASURE_ALWAYS = { droppable: { strategy: MeasuringStrategy.Always } };

/**
 * A list whose items can be dragged. Only this file imports the drag library. Dragging is one of three ways to rank.
 * Keys and buttons can also produce every order, so the library's keyboard mode is not used.
 */
export function RankList({
  order,
  axis = "down",
  partly = false,
  onDrop,
  renderLifted,
  children,
}: {
  /**
   * While the order stays the same, `order` must be the same array. A new array causes every card to render
   * again.
   */
  order: string[];
  axis?: Axis;
  /** Whether part of the list is hidden. */
  partly?: boolean;
  onDrop: (id: string, index: number) => void;
  renderLifted: (id: string) => ReactNode;
  children: (dragging: boolean) => ReactNode;
}) {
  const [lifted, setLifted] = useState<string | null>(null);
  const sensors = useSensors(useSensor(PointerSensor, DRAG_STARTS_AFTER));

  function end({ active, over }: DragEndEvent) {
    setLifted(null);
    const index = over ? order.indexOf(String(over.id)) : -1;
    if (index >= 0) onDrop(String(active.id), index);
  }

  return (
    <DndContext
      sensors={sensors}
      collisionDetection={COLLISION[axis]}
      measuring={MEASURE_ALWAYS}
      accessibility={SILENT}
      onDragStart={({ active }) => setLifted(String(active.id))}
      onDragEnd={end}
      onDragCancel={() => setLifted(null)}
    >
      <SortableContext items={order} strategy={partly ? noRoomMade : STRATEGY[axis]}>
        {children(lifted !== null)}
      </SortableContext>
      <DragOverlay dropAnimation={null} modifiers={[heldAtGrip]}>
        {lifted === null ? null : renderLifted(lifted)}
      </DragOverlay>
    </DndContext>
  );
}

/** The line between ranked and unranked responses, which is also a drop target. */
export const LINE = "unranked";

/** The drop targets, from top to bottom. */
export function useLandings({ tiers, unranked, atMost }: Ranking): string[] {
  return useMemo(
    () => [...tiers.flat(), ...(atMost === null ? [] : [LINE]), ...unranked],
    [tiers, unranked, atMost],
  );
}

export function useRankLine() {
  const { setNodeRef, transform, transition } = useSortable({ id: LINE, disabled: { draggable: true } });
  return { lineRef: setNodeRef, style: { transform: CSS.Translate.toString(transform), transition } };
}

/** The ref and event handlers that make a button the drag handle of a response. */
export type Handle = Pick<ReturnType<typeof useRankItem>, "handleRef" | "handleProps">;

export function useRankItem(id: string) {
  const { setNodeRef, setActivatorNodeRef, listeners, transform, transition, isDragging, isOver } =
    useSortable({ id });
  const style: CSSProperties = { transform: CSS.Translate.toString(transform), transition };
  return {
    itemRef: setNodeRef,
    handleRef: setActivatorNodeRef,
    handleProps: listeners,
    style,
    isDragging,
    isOver: isOver && !isDragging,
  };
}
