// What the daemon is told before the pages are looked at: customers in several states, requests, odd events.

export const ADA = "71c0de5a19b24f0e83d6a4b1";
export const BEN = "71c0de5a19b24f0e83d6a4b2";

export const decision = (customerId, status, more = {}) => ({
  event: "onboard",
  customerId,
  validation: { status, kyc: "PASSED", ...more },
});
export const flag = (customerId, flag) => ({ event: "flag", customerId, flag });

/** An onboarding by API from registration to outcome, then what people did on the dashboard. */
export async function tell(daemon) {
  await daemon.call("POST", "/v1/requests", {
    requestId: "k7Qm2ZtX9a",
    operation: "onboard",
    customerId: ADA,
    externalId: "crm-1001",
    expects: ["kyc", "fraud"],
    context: { order: 4711 },
  });
  await daemon.deliver({
    event: "onboard",
    requestId: "k7Qm2ZtX9a",
    customerId: ADA,
    externalId: "crm-1001",
    uri: `https://app.waldo.ai/customers/${ADA}`,
    evaluation: { type: "kyc", status: "initiated" },
  });
  await daemon.deliver({
    event: "evaluation",
    requestId: "k7Qm2ZtX9a",
    customerId: ADA,
    evaluation: { type: "fraud", status: "initiated" },
  });
  await daemon.deliver({
    event: "evaluation",
    requestId: "k7Qm2ZtX9a",
    customerId: ADA,
    evaluation: { type: "fraud", status: "completed" },
    validation: {
      status: "REVIEW",
      kyc: "PASSED",
      fraudScore: 0.41,
      warnings: 1,
      warningTags: [{ tag: "pep", label: "Politically exposed person", passed: false, isDoc: false }],
    },
  });
  await daemon.call("POST", "/v1/flags", { customerId: ADA, flag: true });
  await daemon.deliver(flag(ADA, true));
  await daemon.deliver(flag(ADA, true));
  await daemon.deliver(decision(ADA, "REJECTED", { fraudScore: "high" }));
  await daemon.deliver(flag(ADA, false));
  await daemon.deliver(decision(ADA, "APPROVED", { fraudScore: 0.82 }));
  await daemon.call("POST", "/v1/requests", {
    requestId: "Bw4sN0eR8c",
    operation: "fraud",
    customerId: BEN,
    externalId: "crm-1002",
    deadlineSeconds: 1,
  });
  await daemon.deliver({
    event: "onboard",
    customerId: BEN,
    externalId: "crm-1002",
    validation: { status: "REVIEW", kyc: "REVIEW" },
  });
  await daemon.deliver({ event: "watchlist", customerId: BEN });
  await daemon.deliver("hello");
}
