// Compiles dashboards as values of `schema.ts`, and prints what the compiler says of each: `{name: [mistake…]}`.
//
// Read from standard input: `{name: dashboard}`. Arguments: the folder of npm's packages, the path of `schema.ts`.
import { createRequire } from "node:module";
import path from "node:path";
import { readFileSync } from "node:fs";

const [packages, schema] = process.argv.slice(2);
const typescript = createRequire(packages + "/")("typescript");
const dashboards = JSON.parse(readFileSync(0, "utf8"));

// As if all stood beside npm's packages, so that they are found.
const at = (name) => path.join(path.dirname(packages), name);
const files = new Map([[at("schema.ts"), readFileSync(schema, "utf8")]]);
// What each file holds: whose it is, and what it is.
const parts = new Map();
const add = (name, what, type, value) => {
  const file = at(`part${parts.size}.ts`);
  const imports = `import type { Dashboard, Panels, Queries } from "./schema";`;
  files.set(file, `${imports}\nexport const part: ${type} = ${JSON.stringify(value)};\n`);
  parts.set(file, [name, what]);
};
for (const [name, { panels, ...dashboard }] of Object.entries(dashboards)) {
  add(name, "dashboard", "Dashboard", dashboard);
  for (const { targets, ...panel } of panels) {
    add(name, `panel "${panel.title}"`, `Panels[${JSON.stringify(panel.type)}]`, panel);
    for (const target of targets)
      add(name, `query of "${panel.title}"`, `Queries[${JSON.stringify(target.datasource?.type)}]`, target);
  }
}
const options = {
  module: typescript.ModuleKind.ESNext,
  moduleResolution: typescript.ModuleResolutionKind.Bundler,
  noEmit: true,
  skipLibCheck: true,
  strict: true,
  target: typescript.ScriptTarget.ES2022,
  types: [],
};
const host = typescript.createCompilerHost(options);
const { fileExists, getSourceFile, readFile } = host;
host.fileExists = (file) => files.has(file) || fileExists.call(host, file);
host.readFile = (file) => files.get(file) ?? readFile.call(host, file);
host.getSourceFile = (file, ...more) =>
  files.has(file)
    ? typescript.createSourceFile(file, files.get(file), options.target)
    : getSourceFile.call(host, file, ...more);

const found = Object.fromEntries(Object.keys(dashboards).map((name) => [name, []]));
const program = typescript.createProgram([...files.keys()], options, host);
for (const mistake of typescript.getPreEmitDiagnostics(program)) {
  const text = typescript.flattenDiagnosticMessageText(mistake.messageText, " ");
  const part = parts.get(mistake.file?.fileName);
  if (!part) throw new Error(`${mistake.file?.fileName}: ${text}`);
  found[part[0]].push(`${part[1]}: ${text}`);
}
console.log(JSON.stringify(found));
