// Checks the dashboards on the command line against Grafana's own types: `dashboard satisfies ...`, with tsc.
// Prints nothing if they fit.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { spawnSync } from 'node:child_process';

// JSON holds the values of the types' enumerations. The Prometheus data source moves `expr` of an annotation into its
// target when it loads a dashboard, which the type does not know.
const types = `
import type { AnnotationQuery, Dashboard } from '@grafana/schema';
type Plain<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Annotations = { annotations: { list: (Plain<AnnotationQuery> & { expr: string })[] } };
type Checked = Omit<Plain<Partial<Dashboard>>, 'annotations'> & Annotations;
`;

const files = process.argv.slice(2).map((file) => {
  // tsc reports a key that the type lacks only in a literal, so the dashboard becomes one.
  const literal = JSON.stringify(JSON.parse(readFileSync(file, 'utf8')), null, 1);
  const name = `${basename(file, '.json')}.ts`;
  writeFileSync(name, `${types}\nexport const dashboard = ${literal} satisfies Checked;\n`);
  return name;
});
const options = '--noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022';
const tsc = spawnSync('node_modules/.bin/tsc', [...options.split(' '), ...files]);
process.stdout.write(tsc.stdout);
process.exitCode = tsc.status;
