<?php // Onboards a person through the gateway. Usage: gateway.php EXTERNAL_ID. Needs PHP 8 with curl.
$gateway = getenv('WALDO_GATEWAY') ?: 'http://127.0.0.1:7313'; // in place of https://api.waldo.ai

function call(string $url, array $body): array
{
    $recorded = true;
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_POSTFIELDS => json_encode($body),
        CURLOPT_HTTPHEADER => ['Content-Type: application/json'],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 75, // the gateway itself gives up after 60 s
        CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$recorded): int {
            if (preg_match('/^waldo-syncd-recorded:\s*false/i', $line)) {
                $recorded = false;
            }
            return strlen($line);
        },
    ]);
    $answer = json_decode((string) curl_exec($curl), true);
    $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    if ($status !== 200) { // Waldo's own error, or a problem of the gateway; both have a code
        throw new RuntimeException("$url: $status " . ($answer['code'] ?? curl_error($curl)));
    }
    return [$answer, $recorded];
}

$person = [
    'externalId' => $argv[1], 'firstName' => 'Ada', 'lastName' => 'Example', 'dob' => '1990-01-02',
    'officialId' => ['docType' => 'SSN', 'value' => '000-00-0000', 'format' => 'XXX-XX-XXXX', 'country' => 'US'],
    'email' => 'ada@example.com', 'phone' => '+15550100001', 'address' => '1 Sample Street',
    'city' => 'Sampleton', 'state' => 'NY', 'zipCode' => '00000', 'country' => 'US',
    'options' => ['includeFraudCheck' => true],
];
try {
    [$answer, $recorded] = call("$gateway/onboard", $person);
} catch (RuntimeException $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
if (!$recorded) {
    fwrite(STDERR, "waldo-syncd knows nothing of this call: register the request\n");
}
echo "{$answer['requestId']} {$answer['customerId']}\n"; // keep both
