// Runs the Node sample of the product page as it is printed. The sample mixes require with a top-level await and takes
// the module itself for the class, which no version of the client offers, so that three things are lent to it from
// outside: an async function around it, the class as what require gives, and the base URL.
//
//     node page_sample.cjs BASE FILE-WITH-THE-SAMPLE
const fs = require('fs');
const { Client } = require('wavespeed');

const [base, file] = process.argv.slice(2);
class WaveSpeed extends Client {
  constructor() {
    super(undefined, { baseUrl: base });
  }
}
const AsyncFunction = (async () => {}).constructor;
new AsyncFunction('require', fs.readFileSync(file, 'utf8'))(() => WaveSpeed).catch((error) => {
  console.error(error);
  process.exit(1);
});
