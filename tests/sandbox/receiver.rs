//! Takes webhooks over a real socket, answers them and keeps the bodies in the order of their coming.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    pub fn start() -> Self {
        Self::answering("200 OK")
    }

    pub fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let receiver = Self {
            address: listener.local_addr().expect("an address"),
            bodies: Arc::default(),
        };
        let bodies = Arc::clone(&receiver.bodies);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bodies = Arc::clone(&bodies);
                std::thread::spawn(move || serve(stream, status, &bodies));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/s3cret", self.address)
    }

    /// The bodies since the last call, as bytes.
    pub fn take_bytes(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.bodies.lock().expect("bodies"))
    }

    #[track_caller]
    pub fn take(&self) -> Vec<Value> {
        let parse = |bytes: &Vec<u8>| serde_json::from_slice(bytes).expect("a JSON body");
        self.take_bytes().iter().map(parse).collect()
    }
}

fn serve(stream: TcpStream, status: &str, bodies: &Mutex<Vec<Vec<u8>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut first) = (0, true);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if first {
                assert_eq!(line, "post /hooks/s3cret http/1.1");
                first = false;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        bodies.lock().expect("bodies").push(body);
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}
