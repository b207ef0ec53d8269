use super::*;
use crate::model::testing::World;

const ROLE: &str = "arn:aws:iam::1:role/reader";

/// A running task with both roles, its payload acknowledged; credentials live for 100 s.
fn running(acknowledged: bool) -> (World, InstanceArn, TaskArn) {
    let mut w = World::new();
    w.state.credentials_lifetime = 100_000;
    let instance = w.instance(2048, 1024);
    w.register(
        "r",
        serde_json::json!({"image": "busybox", "vcpus": 1, "memory": 100, "jobRoleArn": ROLE,
        "executionRoleArn": "arn:aws:iam::1:role/puller"}),
    );
    let job = w.submit(serde_json::json!({"jobDefinition": "r"}));
    let task = w.task_of(&job);
    let payload = w.state.take_payload(&instance, 1).unwrap().payload;
    w.state.acknowledge(&instance, &payload.message_id);
    for name in ["roleCredentials", "executionRoleCredentials"] {
        let sent: Credentials = serde_json::from_value(payload.tasks[0][name].clone()).unwrap();
        assert_eq!(sent.expiration, "1970-01-01T00:01:40Z");
        if acknowledged {
            acknowledge(&mut w, &instance, &payload.message_id, sent);
        }
    }
    w.change(&task, TaskStatus::Running, None, 2);
    (w, instance, task)
}

fn acknowledge(w: &mut World, instance: &InstanceArn, message: &str, sent: Credentials) {
    let ack = IAMRoleCredentialsAckRequest {
        message_id: message.to_owned(),
        expiration: sent.expiration,
        credentials_id: sent.credentials_id,
    };
    w.state.acknowledge_credentials(instance, &ack);
}

fn take_all(w: &mut World, instance: &InstanceArn, now: Millis) -> Vec<IAMRoleCredentialsMessage> {
    std::iter::from_fn(|| w.state.take_credentials(instance, now)).collect()
}

#[test]
fn acknowledged_credentials_rest_until_half_of_their_life_is_over() {
    let (mut w, instance, task) = running(true);
    let first = w.state.tasks[&task].wire.role_credentials.clone().unwrap();
    assert_eq!((first.role_arn.as_str(), w.state.redelivery_due(&instance)), (ROLE, None));
    assert_eq!(w.state.next_deadline(), Some(50_001));
    w.state.settle(50_001);
    let messages = take_all(&mut w, &instance, 50_001);
    assert_eq!(messages.iter().map(|m| m.role_type.as_str()).collect::<Vec<_>>(), ["TaskApplication", "TaskExecution"]);
    let renewed = messages[0].role_credentials.clone().unwrap();
    assert_eq!(renewed.credentials_id, first.credentials_id);
    assert_ne!(renewed.access_key_id, first.access_key_id);
    for message in messages {
        acknowledge(&mut w, &instance, &message.message_id, message.role_credentials.unwrap());
    }
    assert_eq!(w.state.redelivery_due(&instance), None);
}

#[test]
fn what_is_not_acknowledged_is_sent_again() {
    let (mut w, instance, _) = running(false);
    assert_eq!(w.state.redelivery_due(&instance), Some(1 + REDELIVER_AFTER));
    assert_eq!(take_all(&mut w, &instance, REDELIVER_AFTER).len(), 0);
    assert_eq!(take_all(&mut w, &instance, 1 + REDELIVER_AFTER).len(), 2);
}

#[test]
fn an_agent_that_asks_gets_everything_again() {
    let (mut w, instance, _) = running(true);
    w.state.resend_credentials(&instance, false);
    assert_eq!(take_all(&mut w, &instance, 10).len(), 0);
    w.state.resend_credentials(&instance, true);
    assert_eq!(take_all(&mut w, &instance, 10).len(), 2);
}

#[test]
fn expired_keys_are_followed_by_new_ones() {
    let (mut w, instance, task) = running(true);
    let old = w.state.tasks[&task].wire.role_credentials.clone().unwrap().access_key_id;
    assert_eq!(w.state.expire_keys(10), 2);
    w.state.settle(10);
    assert_eq!(take_all(&mut w, &instance, 10).len(), 2);
    assert_eq!(w.state.keys.find(&old).unwrap().expires_at, 10);
}
