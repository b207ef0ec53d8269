use serde_json::json;

use super::*;

fn metadata(idle: bool) -> MetricsMetadata {
    MetricsMetadata {
        cluster: "c1".into(),
        container_instance: "arn:ci".into(),
        fin: true,
        idle,
        message_id: "m-1".into(),
    }
}

#[test]
fn an_idle_message_is_the_keep_alive_and_nothing_more() {
    let idle = PublishMetricsRequest {
        metadata: metadata(true),
        task_metrics: Vec::new(),
        timestamp: Time { epoch_ms: 1_760_000_000_500 },
    };
    let frame = FromAgent::from(idle).encode();
    assert_eq!(
        frame,
        r#"{"type":"PublishMetricsRequest","message":{"metadata":{"cluster":"c1","containerInstance":"arn:ci","fin":true,"idle":true,"messageId":"m-1"},"timestamp":1760000000.5}}"#
    );
}

#[test]
fn times_have_three_decimals_at_the_most_and_whole_ones_none() {
    for (ms, text) in [
        (1_760_000_000_000, "1760000000"),
        (1_760_000_000_123, "1760000000.123"),
        (1_760_000_000_120, "1760000000.12"),
        (1_760_000_000_001, "1760000000.001"),
    ] {
        let time = Time { epoch_ms: ms };
        assert_eq!(serde_json::to_string(&time).unwrap(), text);
        assert_eq!(serde_json::from_str::<Time>(text).unwrap(), time);
    }
}

#[test]
fn a_whole_double_is_written_without_a_fraction() {
    let stats = DoubleStats { max: 512.0, min: 0.4, sample_count: 20, sum: 10120.0 };
    assert_eq!(serde_json::to_string(&stats).unwrap(), r#"{"max":512,"min":0.4,"sampleCount":20,"sum":10120}"#);
    let vast = DoubleStats { max: 1e300, ..stats };
    assert_eq!(serde_json::to_value(vast).unwrap()["max"], json!(1e300));
}

#[test]
fn what_tcs_says_is_read() {
    let heartbeat = ToAgent::decode(r#"{"type":"HeartbeatMessage","message":{"healthy":true}}"#).unwrap();
    assert_eq!(heartbeat, HeartbeatMessage { healthy: Some(true) }.into());
    let ack = ToAgent::decode(r#"{"type":"AckPublishMetric","message":{}}"#).unwrap();
    assert_eq!(ack, AckPublishMetric { message: String::new() }.into());
    assert!(matches!(ToAgent::decode(r#"{"type":"Novelty"}"#), Err(FrameError::UnknownType(_))));
}

#[test]
fn a_signed_frame_is_read_as_it_was_written() {
    let headers = [("X-Amz-Date", "20260101T000000Z"), ("Host", "tcs"), ("Authorization", "AWS4 a=b, c: d")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let frame = SignedFrame::new(headers, "{\"a\":\"\\r\\n\"}".to_owned());
    let text = frame.encode();
    assert_eq!(
        text,
        "Authorization: AWS4 a=b, c: d\r\nHost: tcs\r\nX-Amz-Date: 20260101T000000Z\r\n\r\n{\"a\":\"\\r\\n\"}"
    );
    let read = SignedFrame::decode(&text).unwrap();
    assert_eq!(read, frame);
    assert_eq!(read.header("authorization"), Some("AWS4 a=b, c: d"));
    assert!(!format!("{read:?}").contains("AWS4"), "a signature is no business of a log");
}

#[test]
fn a_frame_that_is_not_signed_is_told_apart() {
    assert_eq!(SignedFrame::decode("{\"type\":\"x\"}"), Err(SignedFrameError::NoHeaders));
    assert_eq!(SignedFrame::decode("no colon\r\n\r\n{}"), Err(SignedFrameError::Header));
    let endless = format!("A: {}\r\n\r\n{{}}", "x".repeat(20_000));
    assert_eq!(SignedFrame::decode(&endless), Err(SignedFrameError::NoHeaders));
}
