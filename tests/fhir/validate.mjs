// Validates FHIR R4 resources, one JSON object per line on standard input, against the definitions of the package `fhir`.
// Exit status 1 and a message if one is invalid.
import { createInterface } from 'node:readline';
import fhirPackage from 'fhir';

const fhir = new fhirPackage.Fhir();
let n = 0;
let wrong = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { valid, messages } = fhir.validate(JSON.parse(line), { errorOnUnexpected: true });
  const faults = messages.filter((message) => !message.severity.startsWith('info'));
  n += 1;
  if (!valid || faults.length > 0) {
    wrong += 1;
    console.log(JSON.stringify(faults));
  }
}
console.log(JSON.stringify({ n, wrong }));
process.exit(wrong > 0 ? 1 : 0);
