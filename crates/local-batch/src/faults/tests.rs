use super::*;

#[tokio::test]
async fn a_fault_counts_its_calls_and_is_over() {
    let faults = Faults::new();
    let order = Order::Error { operation: Some("A".into()), error: ErrorKind::Throttle, times: Some(2), seconds: None };
    assert_eq!(faults.stand(order).unwrap()["left"], "2 more times");
    assert_eq!(faults.on_call("B"), None);
    for _ in 0..2 {
        assert_eq!(faults.on_call("a"), Some(Mishap::Error(ErrorKind::Throttle)));
    }
    assert_eq!((faults.on_call("A"), faults.list().len()), (None, 0));
}

#[tokio::test]
async fn a_held_call_is_let_go_by_a_clear() {
    let faults = Faults::new();
    faults.stand(Order::Hang { operation: None, times: Some(1), seconds: None }).unwrap();
    let Some(Mishap::Hang(id)) = faults.on_call("A") else { panic!("a hang") };
    let held = tokio::spawn({
        let faults = Arc::clone(&faults);
        async move { faults.unhang(id).await }
    });
    tokio::task::yield_now().await;
    assert!(!held.is_finished());
    faults.clear(None);
    tokio::time::timeout(Duration::from_secs(10), held).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_absence_ends_by_itself() {
    let faults = Faults::new();
    faults.stand(Order::Away { silent: false, seconds: 0.05 }).unwrap();
    assert!(faults.away().is_some());
    tokio::time::timeout(Duration::from_secs(10), faults.back()).await.unwrap();
    assert!(faults.list().is_empty());
}
