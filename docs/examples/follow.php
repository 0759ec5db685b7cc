<?php // Follows what is decided on Waldo's dashboard. Usage: follow.php [DATABASE]. Needs PHP 8 with curl and
// pdo_sqlite (or your own database). ROUNDS ends it after so many pages, for tests.
$query = getenv('WALDO_QUERY') ?: 'http://127.0.0.1:7312';
$wait = getenv('WAIT') === false ? 30 : (int) getenv('WAIT');
$rounds = (int) (getenv('ROUNDS') ?: -1);

$db = new PDO('sqlite:' . ($argv[1] ?? 'app.db')); // your app's own database; errors are thrown
$db->exec('CREATE TABLE IF NOT EXISTS waldo_cursor (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL)');
$db->exec('CREATE TABLE IF NOT EXISTS account (customer_id TEXT PRIMARY KEY, status TEXT)');
$db->exec('INSERT OR IGNORE INTO waldo_cursor VALUES (1, 0)');
$put = $db->prepare('INSERT INTO account VALUES (?, ?)
    ON CONFLICT (customer_id) DO UPDATE SET status = excluded.status WHERE status IS NOT excluded.status');

function page(string $url, int $wait): ?array
{
    $curl = curl_init($url);
    curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => $wait + 15]);
    $body = curl_exec($curl);
    return curl_getinfo($curl, CURLINFO_RESPONSE_CODE) === 200 ? json_decode((string) $body, true) : null;
}

// Your work, in the transaction that also moves the cursor. Gives what was news.
function handle(PDOStatement $put, array $event): iterable
{
    foreach ($event['changes'] as $change) {
        if ($change['field'] === 'status') {
            $put->execute([$event['customerId'], $change['to']]);
            if ($put->rowCount()) { // 0: known already
                yield "{$event['seq']} {$event['customerId']} {$change['to']}\n";
            }
        }
    }
}

while ($rounds-- !== 0) {
    $after = $db->query('SELECT next FROM waldo_cursor')->fetchColumn();
    $found = page("$query/v1/events?after=$after&origin=dashboard&disposition=applied&wait=$wait", $wait);
    if ($found === null) {
        sleep(1); // not there, 503, broken off: try again
        continue;
    }
    $news = '';
    $db->beginTransaction(); // all of it or nothing
    foreach ($found['items'] as $event) {
        foreach (handle($put, $event) as $line) {
            $news .= $line;
        }
    }
    $db->prepare('UPDATE waldo_cursor SET next = ?')->execute([$found['next']]);
    $db->commit();
    echo $news;
}
