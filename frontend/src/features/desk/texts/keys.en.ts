/** The keys of the desk, as they are printed and as they are explained. */
export const en = {
  line: "The keys you need most",
  needed: {
    choose: "go to a response",
    place: "give it its place, 1 is best",
    best: "give it its place among the best",
    tie: "tie it with the one above",
    leave: "leave it out",
    scale: "say which is better",
    submit: "submit",
    help: "all keys",
  },
  hideLine: "Hide this line",
  showLine: "Show the keys you need most above the responses",
};
