//! Plain HTTP requests, unsigned, to what listens on the loopback.

use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Body, Error};

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

pub(crate) fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = client().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.send(body))
}

pub(crate) fn put(url: &str, header: (&str, &str)) -> Answer {
    answer(client().put(url).header(header.0, header.1).send(""))
}

pub(crate) fn get(url: &str, header: (&str, &str)) -> Answer {
    answer(client().get(url).header(header.0, header.1).call())
}

fn client() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(Duration::from_secs(30))).build().new_agent()
}

fn answer(result: Result<Response<Body>, Error>) -> Answer {
    let mut response = result.unwrap();
    Answer { status: response.status().as_u16(), body: response.body_mut().read_to_string().unwrap() }
}
