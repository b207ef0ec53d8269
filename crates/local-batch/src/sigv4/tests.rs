use axum::http::HeaderValue;

use super::*;

const NOW: Millis = 1_760_000_000_000;
const SCOPE: Scope<'static> = Scope { region: "us-east-1", service: "ecs" };

/// Signs as a client would.
fn signed(key: &IssuedKey, at: Millis, method: &str, path: &str, query: &str, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| headers.insert(name, HeaderValue::from_str(value).unwrap());
    set("host", "127.0.0.1:8700");
    set("x-amz-date", &basic(at));
    set("x-amz-security-token", &key.token.0);
    let names = ["host", "x-amz-date", "x-amz-security-token"];
    let canonical = canonical::request(&Request { method, path, query, headers: &headers, body }, &names).unwrap();
    let day = basic(at)[..8].to_owned();
    let scope = [day.as_str(), SCOPE.region, SCOPE.service, TERMINATOR];
    let to_sign = [ALGORITHM, &basic(at), &scope.join("/"), &canonical::hash(canonical.as_bytes())].join("\n");
    let secret = format!("AWS4{}", key.secret.0).into_bytes();
    let signing = scope.iter().fold(secret, |key, part| sign(&key, part).unwrap());
    let signature: String = sign(&signing, &to_sign).unwrap().iter().map(|b| format!("{b:02x}")).collect();
    let text = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
        key.id,
        scope.join("/"),
        names.join(";")
    );
    headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
    headers
}

fn ring() -> (KeyRing, IssuedKey) {
    let mut keys = KeyRing::default();
    let key = keys.issue("arn:aws:iam::1:role/reader", "t1", NOW, NOW + 1000 * 3600);
    (keys, key)
}

fn check(keys: &KeyRing, headers: &HeaderMap, body: &[u8], now: Millis) -> Result<Caller, Refusal> {
    let request = Request { method: "POST", path: "/", query: "", headers, body };
    verify(request, SCOPE, keys, now)
}

/// The example of AWS's documentation: IAM's ListUsers, 30 August 2015.
#[test]
fn the_documented_example_verifies() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("host", "iam.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let request = Request {
        method: "GET",
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &headers,
        body: b"",
    };
    let canonical = canonical::request(&request, &["content-type", "host", "x-amz-date"]).unwrap();
    assert_eq!(
        canonical::hash(canonical.as_bytes()),
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    );
    let signature = Signature::parse(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    )
    .unwrap();
    let key = IssuedKey {
        id: "AKIDEXAMPLE".into(),
        secret: ecs_wire::task::Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
        token: ecs_wire::task::Secret(String::new()),
        arn: String::new(),
        user_id: String::new(),
        expires_at: 0,
    };
    signature.check(request, "20150830T123600Z", &key).unwrap();
}

#[test]
fn an_issued_key_is_verified_to_the_letter() {
    let (keys, key) = ring();
    let headers = signed(&key, NOW, "POST", "/", "", b"{}");
    let caller = check(&keys, &headers, b"{}", NOW).unwrap();
    let Caller::Known { arn, .. } = caller else { panic!("{caller:?}") };
    assert_eq!(arn, "arn:aws:sts::123456789012:assumed-role/reader/t1");
    assert!(
        matches!(check(&keys, &headers, b"{ }", NOW), Err(Refusal::Invalid(text)) if text.contains("does not match"))
    );
    let mut other_host = headers.clone();
    other_host.insert("host", HeaderValue::from_static("elsewhere"));
    assert!(matches!(check(&keys, &other_host, b"{}", NOW), Err(Refusal::Invalid(_))));
    let mut other_token = headers;
    other_token.insert(TOKEN, HeaderValue::from_static("another"));
    assert_eq!(check(&keys, &other_token, b"{}", NOW), Err(Refusal::Unrecognized));
}

#[test]
fn the_clock_may_be_fifteen_minutes_off() {
    let (keys, key) = ring();
    let at = |at: Millis| check(&keys, &signed(&key, at, "POST", "/", "", b""), b"", NOW);
    assert!(at(NOW - SKEW).is_ok() && at(NOW + SKEW).is_ok());
    let Err(Refusal::Invalid(text)) = at(NOW - SKEW - 1000) else { panic!("too old") };
    assert_eq!(
        text,
        "Signature expired: 20251009T083819Z is now earlier than 20251009T083820Z (20251009T085320Z - 15 min.)"
    );
    assert!(
        matches!(at(NOW + SKEW + 1000), Err(Refusal::Invalid(text)) if text.starts_with("Signature not yet current: "))
    );
}

#[test]
fn a_key_is_good_for_its_time_service_and_region() {
    let (mut keys, key) = ring();
    let headers = signed(&key, NOW, "POST", "/", "", b"");
    let request = Request { method: "POST", path: "/", query: "", headers: &headers, body: b"" };
    for scope in [Scope { region: "eu-west-1", ..SCOPE }, Scope { service: "batch", ..SCOPE }] {
        assert!(matches!(verify(request, scope, &keys, NOW), Err(Refusal::Invalid(text)) if text.contains("scoped")));
    }
    assert_eq!(keys.expire_all(NOW), 1);
    assert_eq!(check(&keys, &headers, b"", NOW), Err(Refusal::Expired));
}

#[test]
fn strangers_pass_if_they_are_well_formed() {
    let (keys, _) = ring();
    let strange = |authorization: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", HeaderValue::from_static("20251009T085320Z"));
        headers.insert("authorization", HeaderValue::from_str(authorization).unwrap());
        check(&keys, &headers, b"", NOW)
    };
    let good = "AWS4-HMAC-SHA256 Credential=x/20251009/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature=00";
    assert_eq!(strange(good), Ok(Caller::Unknown { access_key_id: "x".into() }));
    for bad in
        ["Basic eDp5", "AWS4-HMAC-SHA256 Credential=x", &good.replace("/ecs", ""), &good.replace("Signature", "S")]
    {
        assert!(matches!(strange(bad), Err(Refusal::Incomplete(_))), "{bad}");
    }
    assert_eq!(check(&keys, &HeaderMap::new(), b"", NOW), Ok(Caller::Nobody));
}

#[test]
fn a_query_is_canonical_however_it_was_written() {
    let (keys, key) = ring();
    let headers = signed(&key, NOW, "GET", "/ws", "a=1&dockerVersion=DockerVersion%3A%2025.0.8", b"");
    // Go writes a plus.
    let query = "dockerVersion=DockerVersion%3A+25.0.8&a=1";
    let request = Request { method: "GET", path: "/ws", query, headers: &headers, body: b"" };
    assert!(matches!(verify(request, SCOPE, &keys, NOW), Ok(Caller::Known { .. })));
}

#[test]
fn a_frame_signs_its_json() {
    let (keys, key) = ring();
    let json = r#"{"type":"PublishMetricsRequest","message":{}}"#;
    let headers = signed(&key, NOW, "GET", "/tcs/ws", "cluster=c", json.as_bytes());
    let head: Vec<String> = headers.iter().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap())).collect();
    let verify = |text: &str| {
        let frame = Frame { path: "/tcs/ws", query: "cluster=c", text };
        verify_frame(&frame, SCOPE, &keys, NOW).map(|(caller, body)| (caller, body.to_owned()))
    };
    let good = format!("{}\r\n\r\n{json}", head.join("\r\n"));
    let (caller, body) = verify(&good).unwrap();
    assert!(matches!(caller, Caller::Known { .. }));
    assert_eq!(body, json);
    assert!(matches!(verify(&good.replace("{}", "{ }")), Err(Refusal::Invalid(_))));
    assert_eq!(verify(json), Err(Refusal::Missing));
}
