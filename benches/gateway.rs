//! What the gateway adds to a call: the same calls to the sandbox directly and through the gateway, in alternating rounds
//! of one run, on kept connections; and the memory that a 10 MB document takes on its way. The figures are medians of
//! the rounds. docs/PERFORMANCE.md says what they mean.

#![expect(clippy::print_stdout, reason = "a benchmark tells what it found")]

mod common;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use common::process::Process;
use common::{Result, Table, figure, machine, median, nanoseconds, percentile_ms, tell};

const KEY: &str = "wk.sandbox.waldo-syncd";
const SECRET: &str = "ws.sandbox.waldo-syncd";
const CONNECTIONS: [usize; 2] = [1, 16];
const DOCUMENT_BYTES: usize = 10 * 1024 * 1024 - 1024;
const BOUNDARY: &str = "the-boundary-of-the-parts";

/// A call that is measured.
#[derive(Clone, Copy)]
enum Call {
    /// Forwarded and no more.
    Customer,
    /// Forwarded, and its answer recorded durably before it is given.
    Flag,
}

const CALLS: [(Call, &str); 2] = [
    (Call::Customer, "GET /customer"),
    (Call::Flag, "POST /flag, recorded"),
];

/// All three, and a customer to call about.
struct Rig {
    sandbox: Process,
    outbound: Process,
    _daemon: Process,
    token: String,
    customer_id: String,
}

fn main() -> ExitCode {
    match common::within(Duration::from_secs(600), bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let (rounds, calls) = if common::short() { (1, 50) } else { (5, 2000) };
    let folder = common::folder()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let rig = runtime.block_on(start(folder.path()))?;
    let direct = rig.sandbox.door("sandbox")?;
    let gateway = rig.outbound.door("gateway")?;
    let mut table = Table::new(&[
        "call",
        "connections",
        "direct p50, p99 ms",
        "gateway p50, p99 ms",
        "added p50, p99 ms",
        "p50 ratio",
    ]);
    for (call, name) in CALLS {
        for connections in CONNECTIONS {
            tell(&format!("{name}, {connections} connections"));
            let mut sides = [Vec::new(), Vec::new()];
            for _ in 0..rounds {
                for (side, address) in sides.iter_mut().zip([direct, gateway]) {
                    let load = load(&rig, address, call, connections, calls / connections);
                    side.push(runtime.block_on(load)?);
                }
            }
            let [alone, through] = sides.map(|rounds| {
                (
                    median(rounds.iter().map(|round| round.0)),
                    median(rounds.iter().map(|round| round.1)),
                )
            });
            let pair = |(p50, p99): (f64, f64)| format!("{}, {}", figure(p50), figure(p99));
            table.line([
                name.to_owned(),
                connections.to_string(),
                pair(alone),
                pair(through),
                pair((through.0 - alone.0, through.1 - alone.1)),
                figure(through.0 / alone.0),
            ]);
        }
    }
    println!("{table}");
    let before = rig.outbound.resident_mib("VmRSS")?;
    rig.outbound.forget_peak()?;
    runtime.block_on(upload(&rig, gateway))?;
    let most = rig.outbound.resident_mib("VmHWM")?;
    println!(
        "a document of 10 MB: the outbound process has {} MiB at the most, {} MiB more than before",
        figure(most),
        figure(most - before)
    );
    println!("{}", machine(folder.path()));
    rig.outbound.stop()?;
    rig.sandbox.stop()
}

async fn start(folder: &Path) -> Result<Rig> {
    let binary = || vec![OsString::from(env!("CARGO_BIN_EXE_waldo-syncd"))];
    let with = |arguments: &[&str]| {
        let mut command = binary();
        command.extend(arguments.iter().map(OsString::from));
        command
    };
    let mut serve = with(&["serve", "--ingest", "127.0.0.1:0", "--query", "127.0.0.1:0"]);
    let control = folder.join("control.sock");
    serve.extend(["--data-dir".into(), folder.join("data").into()]);
    serve.extend(["--control".into(), control.clone().into()]);
    let daemon = Process::start(folder, "daemon", serve, &[])?;
    let sandbox = with(&[
        "sandbox",
        "--listen",
        "127.0.0.1:0",
        "--pace",
        "0s",
        "--seed",
        "1",
    ]);
    let sandbox = Process::start(folder, "sandbox", sandbox, &[])?;
    let api_url = format!("http://{}", sandbox.door("sandbox")?);
    let mut outbound = with(&["outbound", "--gateway", "127.0.0.1:0"]);
    outbound.extend(["--control".into(), control.into()]);
    let environment = [
        ("WALDO_SYNCD_WALDO__API_URL", api_url.as_str()),
        ("WALDO_SYNCD_WALDO__API_KEY", KEY),
        ("WALDO_SYNCD_WALDO__CLIENT_SECRET", SECRET),
    ];
    let outbound = Process::start(folder, "outbound", outbound, &environment)?;
    let mut rig = Rig {
        sandbox,
        outbound,
        _daemon: daemon,
        token: String::new(),
        customer_id: String::new(),
    };
    let mut connection = connect(rig.sandbox.door("sandbox")?).await?;
    let login = json!({ "apiKey": KEY, "clientSecret": SECRET });
    let answer = ask(
        &mut connection,
        request(Method::POST, "/authenticate", "", &login)?,
    )
    .await?;
    rig.token = text(&answer, "token")?;
    let person = json!({
        "firstName": "Ada", "lastName": "Example", "email": "ada@example.com", "phone": "5", "address": "1",
        "city": "Anytown", "state": "NY", "zipCode": "0", "country": "US", "dob": "1990-01-02",
        "officialId": {"docType": "SSN", "value": "0", "country": "US"}, "externalId": "fraud-pass",
        "options": {"includeFraudCheck": true},
    });
    let answer = ask(
        &mut connection,
        request(Method::POST, "/onboard", &rig.token, &person)?,
    )
    .await?;
    rig.customer_id = text(&answer, "customerId")?;
    let idle = request(Method::GET, "/sandbox/idle?wait=20", "", &Value::Null)?;
    ask(&mut connection, idle).await?;
    Ok(rig)
}

fn text(answer: &Value, name: &str) -> Result<String> {
    let text = answer.get(name).and_then(Value::as_str);
    Ok(text
        .ok_or_else(|| format!("no {name} in {answer}"))?
        .to_owned())
}

/// So many calls one after another on each of so many connections: p50 and p99 in milliseconds.
async fn load(
    rig: &Rig,
    address: SocketAddr,
    call: Call,
    connections: usize,
    calls: usize,
) -> Result<(f64, f64)> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (token, customer_id) = (rig.token.clone(), rig.customer_id.clone());
        tasks.spawn(async move {
            let mut connection = connect(address).await?;
            let mut times = Vec::with_capacity(calls);
            for turn in 0..calls {
                let request = match call {
                    Call::Customer => {
                        let path = format!("/customer?customerId={customer_id}");
                        request(Method::GET, &path, &token, &Value::Null)?
                    }
                    Call::Flag => {
                        let body = json!({ "customerId": customer_id, "flag": turn % 2 == 0 });
                        request(Method::POST, "/flag", &token, &body)?
                    }
                };
                let sent = Instant::now();
                ask(&mut connection, request).await?;
                times.push(nanoseconds(sent.elapsed()));
            }
            Result::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Ok((
        percentile_ms(&mut times, 0.5),
        percentile_ms(&mut times, 0.99),
    ))
}

async fn upload(rig: &Rig, gateway: SocketAddr) -> Result<()> {
    let mut body = Vec::with_capacity(DOCUMENT_BYTES + 1024);
    for (name, value) in [
        ("customerId", rig.customer_id.as_str()),
        ("side", "front"),
        ("documentType", "passport"),
        ("issuingCountry", "USA"),
    ] {
        let part = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        body.extend(part.bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"document\"; filename=\"d.pdf\"\r\n\
         Content-Type: application/pdf\r\n\r\n%PDF-1.7"
    );
    body.extend(head.bytes());
    body.resize(body.len() + DOCUMENT_BYTES, b'x');
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    let request = Request::post("/document")
        .header(HOST, "localhost")
        .header(
            CONTENT_TYPE,
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .body(Full::from(body))?;
    let mut connection = connect(gateway).await?;
    ask(&mut connection, request).await?;
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn request(method: Method, path: &str, token: &str, body: &Value) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json");
    if !token.is_empty() {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Ok(request.body(Full::from(body))?)
}

async fn ask(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Value> {
    connection.ready().await?;
    let answer = connection.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}
