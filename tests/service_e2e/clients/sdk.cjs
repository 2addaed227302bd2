// One call of the published Node client, unmodified. Run by test_sdk_node.py with the client's folder in NODE_PATH:
//
//     node sdk.cjs BASE SCENARIO JSON-ARGUMENTS        the key is in WAVESPEED_API_KEY
//
// The last line of standard output is the result as JSON: {"value": ...} or {"raised": "Class", "text": ...}.
const { Client } = require('wavespeed');

const [base, scenario, text] = process.argv.slice(2);
const args = JSON.parse(text);
const options = { pollInterval: 0.1, ...args.options };

async function main() {
  const client = new Client(undefined, { baseUrl: base });
  switch (scenario) {
    case 'run':
      return client.run(args.model, args.input, options);
    case 'sync':
      return client.run(args.model, args.input, { enableSyncMode: true, ...args.options });
    case 'no_throw':
      return client.runNoThrow(args.model, args.input, options);
    case 'upload':
      return client.upload(args.path);
    default:
      throw new Error(`no scenario ${scenario}`);
  }
}

main()
  .then((value) => ({ value }))
  .catch((error) => ({ raised: error.name, text: error.message }))
  .then((result) => {
    if (result.value?.detail?.error instanceof Error) result.value.detail.error = result.value.detail.error.message;
    console.log(JSON.stringify(result));
  });
