<?php // Reads a customer, again only when it changed. Usage: customer.php ID [MIN_SEQ [FOLDER]]. Needs PHP 8 with curl.
$query = getenv('WALDO_QUERY') ?: 'http://127.0.0.1:7312';
[$id, $minimum, $folder] = [$argv[1], $argv[2] ?? '0', $argv[3] ?? '.'];
$name = rawurlencode($id);
$file = "$folder/customer-$name.json"; // the tag and what it stands for, in one file

function customer(string $url, string $file): array
{
    $known = is_file($file) ? json_decode(file_get_contents($file)) : null;
    $etag = null;
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_HTTPHEADER => $known ? ["If-None-Match: {$known->etag}"] : [],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 15,
        CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$etag): int {
            if (preg_match('/^etag:\s*(.*?)\s*$/i', $line, $found)) {
                $etag = $found[1];
            }
            return strlen($line);
        },
    ]);
    $body = curl_exec($curl);
    $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    if ($status === 200) {
        $known = (object) ['etag' => $etag, 'customer' => json_decode($body)];
        file_put_contents($file, json_encode($known), LOCK_EX);
    } elseif ($status === 404) {
        throw new RuntimeException('no webhook has named this customer yet');
    } elseif ($status !== 304) { // 304: what is kept still holds
        throw new RuntimeException("$status: try again in a second");
    }
    return [$status, $known->customer];
}

try {
    [$status, $found] = customer("$query/v1/customers/$name?minSeq=$minimum", $file);
    echo $status, ' ', json_encode($found, JSON_UNESCAPED_SLASHES), "\n";
} catch (RuntimeException $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
