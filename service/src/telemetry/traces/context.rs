//! Reads `traceparent` and `tracestate` as the W3C recommendation Trace Context (level 1) defines them.

/// Most members of `tracestate`.
const MAX_MEMBERS: usize = 32;

/// Longest `tracestate` that is read, the length that every participant must accept.
const MAX_STATE_LENGTH: usize = 512;

/// The trace of the client, and its span that is the parent of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace_id: [u8; 16],
    pub(super) parent: [u8; 8],
    pub(super) sampled: bool,
    /// What is kept of `tracestate`: the member of OpenTelemetry, or nothing.
    pub(super) state: String,
}

impl TraceContext {
    /// `None` if `traceparent` is malformed. A malformed `tracestate` is ignored.
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let parent = traceparent.as_bytes();
        let (fields, rest) = parent.split_at_checked(55)?;
        if [2, 35, 52].iter().any(|&at| fields[at] != b'-') {
            return None;
        }
        let [version] = hex(&fields[..2])?;
        // A later version may add fields.
        let complete = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        if version == 0xff || !complete {
            return None;
        }
        let (trace_id, parent) = (hex(&fields[3..35])?, hex(&fields[36..52])?);
        let [flags] = hex(&fields[53..])?;
        if trace_id == [0; 16] || parent == [0; 8] {
            return None;
        }
        Some(Self { trace_id, parent, sampled: flags & 1 == 1, state: kept(tracestate) })
    }
}

/// Lower-case hexadecimal digits; the crate `hex` accepts upper-case ones as well.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (lower && ::hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
}

/// The member `ot` if the list is well-formed. The others are removed, as the recommendation's section on
/// privacy allows: their values are free text and could identify a patient. That of `ot` is only hexadecimal.
fn kept(tracestate: &str) -> String {
    let members = || tracestate.split(',').map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<&str> = members().filter(|member| !member.is_empty()).collect();
    let keys: Option<Vec<&str>> = members.iter().map(|member| key(member)).collect();
    let Some(mut keys) = keys else { return String::new() };
    keys.sort_unstable();
    let unique = keys.windows(2).all(|pair| pair[0] != pair[1]);
    if !unique || members.len() > MAX_MEMBERS || tracestate.len() > MAX_STATE_LENGTH {
        return String::new();
    }
    let ours = members.into_iter().find(|member| member.strip_prefix("ot=").is_some_and(is_sampling));
    ours.unwrap_or_default().to_owned()
}

/// The key of a well-formed member.
fn key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let value_fits = (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, 0x20..=0x7e if byte != b'='))
        && !value.ends_with(' ');
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_rest = |byte: u8| is_alphanumeric(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/');
    let part = |text: &str, max: usize, first: &dyn Fn(u8) -> bool| {
        text.len() <= max && text.bytes().next().is_some_and(first) && text.bytes().skip(1).all(is_rest)
    };
    let letter = |byte: u8| byte.is_ascii_lowercase();
    let key_fits = match key.split_once('@') {
        None => part(key, 256, &letter),
        Some((tenant, system)) => part(tenant, 241, &is_alphanumeric) && part(system, 14, &letter),
    };
    (key_fits && value_fits).then_some(key)
}

/// The sampling threshold and random value of OpenTelemetry: `th:c;rv:6e6d1a75832a2f`.
fn is_sampling(value: &str) -> bool {
    value.split(';').all(|part| {
        let digits = part.strip_prefix("th:").or_else(|| part.strip_prefix("rv:")).unwrap_or_default();
        (1..=14).contains(&digits.len()) && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn read(traceparent: &str) -> Option<bool> {
        TraceContext::parse(traceparent, "").map(|context| context.sampled)
    }

    #[test]
    fn a_traceparent_is_read_strictly() {
        let of = |flags: &str| format!("00-{TRACE}-{PARENT}-{flags}");
        for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("03", true), ("ff", true)] {
            assert_eq!(read(&of(flags)), Some(sampled), "{flags}");
        }
        for later in
            [format!("cc-{TRACE}-{PARENT}-01"), format!("cc-{TRACE}-{PARENT}-01-what-the-future-will-be")]
        {
            assert_eq!(read(&later), Some(true), "{later}");
        }
        for malformed in [
            String::new(),
            of(""),
            of("1"),
            of("0g"),
            of("0A"),
            of("+1"),
            of("01-extra"),
            of("01 "),
            format!(" {}", of("01")),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-01.what"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}-{}-01", PARENT.to_uppercase()),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00_{TRACE}_{PARENT}_01"),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{}é-{PARENT}-01", &TRACE[2..]),
        ] {
            assert_eq!(read(&malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn of_tracestate_only_a_well_formed_sampling_member_is_kept() {
        let many = |n: usize| {
            let others: Vec<String> = (0..n).map(|k| format!("k{k}=v")).collect();
            format!("{},ot=th:c", others.join(","))
        };
        for (state, expected) in [
            ("ot=th:c;rv:6e6d1a75832a2f", "ot=th:c;rv:6e6d1a75832a2f"),
            ("rojo=00f067aa0ba902b7 , ,\tot=th:0", "ot=th:0"),
            ("tenant@system=MRN 1, ot=th:8", "ot=th:8"),
            (&many(31), "ot=th:c"),
            (&many(32), ""),
            (&format!("a={},ot=th:c", "x".repeat(256)), "ot=th:c"),
            (&format!("a={},ot=th:c", "x".repeat(257)), ""),
            (&format!("a={0},b={0},ot=th:c", "x".repeat(256)), ""),
            (&format!("{}=1,ot=th:c", "k".repeat(256)), "ot=th:c"),
            (&format!("{}=1,ot=th:c", "k".repeat(257)), ""),
            ("ot=MRN-0012345", ""),
            ("ot=th:c;note:1", ""),
            ("ot=th:123456789abcdef", ""),
            ("ot=th:c,ot=th:8", ""),
            ("a=1,a=2,ot=th:c", ""),
            ("A=1,ot=th:c", ""),
            ("@system=1,ot=th:c", ""),
            ("a@=1,ot=th:c", ""),
            ("a@b@c=1,ot=th:c", ""),
            ("a=b=c,ot=th:c", ""),
            ("a,ot=th:c", ""),
            ("a=,ot=th:c", ""),
            ("a=\u{e9},ot=th:c", ""),
            ("", ""),
        ] {
            assert_eq!(kept(state), expected, "{state}");
        }
    }
}
