//! What every version is asked.

/// Makes a test for each version that is supported, in which all stories are told at once.
macro_rules! in_every_version {
    ($sentence:ident: $($story:ident),+ $(,)?) => {
        in_every_version! {
            @ $sentence [$($story),+]
            in_bullmq_4 "bullmq-4";
            in_bullmq_5_0 "bullmq-5-0";
            in_bullmq_5_58 "bullmq-5-58";
            in_bullmq_5_81 "bullmq-5-81";
            in_bullmq_6 "bullmq-6";
        }
    };
    (@ $sentence:ident $stories:tt $($test:ident $version:literal;)+) => {
        mod $sentence {
            $(
                #[tokio::test]
                async fn $test() {
                    let bull = super::Bull::start($version).await;
                    in_every_version!(% bull $stories);
                }
            )+
        }
    };
    (% $bull:ident [$($story:ident),+]) => {
        tokio::join!($(super::$story(&$bull)),+)
    };
}
