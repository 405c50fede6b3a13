//! The table of job errors.

use std::collections::HashSet;

use trainyard_openapi::job::JobError;
use trainyard_openapi::job_error::{JobErrorClass, JobErrorCode};

#[test]
fn every_code_is_one_word_of_its_own_with_a_class_and_a_meaning() {
    let words: HashSet<&str> = JobErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), JobErrorCode::ALL.len(), "a code stands twice");
    for code in JobErrorCode::ALL {
        let word = code.as_str();
        assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
        assert!(code.meaning().ends_with('.') && !code.meaning().contains('|'), "{word}");
        assert_eq!(JobErrorCode::parse(word), Some(*code));
        assert_eq!(serde_json::to_value(code).unwrap(), word);
    }
    let of = |class| JobErrorCode::ALL.iter().filter(move |code| code.class() == class).count();
    assert!(of(JobErrorClass::User) >= 10 && of(JobErrorClass::Infrastructure) >= 10);
}

#[test]
fn an_error_of_another_version_stays_readable() {
    let record = r#"{"code": "tape_torn", "message": "the tape is torn", "param": null}"#;
    let error: JobError = serde_json::from_str(record).unwrap();
    assert_eq!(
        (error.code, error.message.as_str()),
        (JobErrorCode::UnknownError, "the tape is torn")
    );
}
