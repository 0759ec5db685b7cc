// Onboards a person through the gateway. Usage: gateway.mjs EXTERNAL_ID. Needs Node 18 or later.
const GATEWAY = process.env.WALDO_GATEWAY ?? "http://127.0.0.1:7313"; // in place of https://api.waldo.ai

async function call(path, body) {
  const answer = await fetch(GATEWAY + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(75_000), // the gateway itself gives up after 60 s
  });
  // Waldo's own error, or a problem of the gateway; both have a code.
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${(await answer.json()).code}`);
  return { answer: await answer.json(), recorded: answer.headers.get("Waldo-Syncd-Recorded") !== "false" };
}

const person = {
  externalId: process.argv[2], firstName: "Ada", lastName: "Example", dob: "1990-01-02",
  officialId: { docType: "SSN", value: "000-00-0000", format: "XXX-XX-XXXX", country: "US" },
  email: "ada@example.com", phone: "+15550100001", address: "1 Sample Street", city: "Sampleton",
  state: "NY", zipCode: "00000", country: "US", options: { includeFraudCheck: true },
};
try {
  const { answer, recorded } = await call("/onboard", person);
  if (!recorded) console.error("waldo-syncd knows nothing of this call: register the request");
  console.log(answer.requestId, answer.customerId); // keep both
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
