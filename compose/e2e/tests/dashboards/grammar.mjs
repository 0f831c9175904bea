// Parses what Loki and Tempo are asked with Grafana's own grammars, and prints where each text does not fit: `[[place…]…]`.
//
// Read from standard input: `[[language, text]…]`, of which the language is `loki` or `tempo`. Argument: the folder of npm's
// packages.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.argv[2] + "/");
const grammars = { loki: require("@grafana/lezer-logql").parser, tempo: require("@grafana/lezer-traceql").parser };

const mistakes = ([language, text]) => {
  const found = [];
  grammars[language].parse(text).iterate({
    enter: (node) => {
      if (node.type.isError) found.push(`at ${node.from}: ${text.slice(node.from) || "its end"}`);
    },
  });
  return found;
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(mistakes)));
