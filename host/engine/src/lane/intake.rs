//! How what a lane reads reaches its end: records are decoded and run through the fused stages, messages of
//! an exchange are taken as they are.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, TimestampMicrosecondArray, UInt32Array};
use azenha_formats::{Decoder, RegisteredSchema};
use azenha_model::Records;
use azenha_model::dead_letter::{Basis, Cause, Decoding};
use azenha_model::plan::{EventTime, Input, StreamInput};

use super::announced::{AnnouncedReader, Piece, announced_bytes};
use crate::dead_letter::{Complaint, DeadLetters};
use crate::end::{End, MessageEnd, RowEnd};
use crate::error::EngineError;
use crate::plugin::{FusedStage, Usage};
use crate::rows::{Rows, Source};
use crate::schemas::fetch;
use crate::status::NO_TIME;
use crate::task::TaskContext;
use crate::watermark::SourceWatermark;

/// What a lane does with what it reads.
pub enum Intake {
    /// Records of a stream.
    Stream(Box<StreamIntake>),
    /// Messages of an exchange.
    Exchange(Box<dyn MessageEnd>),
}

impl Intake {
    /// Takes records in.
    pub fn take(&mut self, source: Source, dead: &mut DeadLetters) -> Result<(), EngineError> {
        match self {
            Self::Stream(stream) => stream.take(source, dead),
            Self::Exchange(end) => {
                (0..source.fetched.records.len()).try_for_each(|record| end.message(&source, record as u32, dead))
            }
        }
    }

    /// How large records are: of those that announce objects, these are.
    pub fn sizes(&self, records: &Records) -> Vec<u64> {
        let bytes = |value: Option<&[u8]>| value.unwrap_or_default().len() as u64;
        match self {
            Self::Stream(stream) if stream.announced.is_some() => records.values.iter().map(announced_bytes).collect(),
            _ => records.values.iter().map(bytes).collect(),
        }
    }

    /// Fetches what has to be there before records can be taken in, for the first of some; says for how many.
    pub async fn fetch(&mut self, context: &TaskContext, records: &Records) -> Result<usize, EngineError> {
        match self {
            Self::Stream(stream) => match &mut stream.announced {
                Some(announced) => announced.fetch(context, records).await,
                None => Ok(records.len()),
            },
            Self::Exchange(_) => Ok(records.len()),
        }
    }

    /// Fetches the schemas that records name and that were not met before. Decoding cannot wait for them.
    pub async fn learn(&mut self, context: &TaskContext, records: &Records) -> Result<(), EngineError> {
        let (Self::Stream(stream), Input::Stream(input)) = (self, &context.task().input) else { return Ok(()) };
        let Some((_, registry)) = input.format.registered() else { return Ok(()) };
        let missing = stream.decoder.missing(records);
        if missing.is_empty() {
            return Ok(());
        }
        let registry = Arc::clone(context.program.registry(registry.map(String::as_str))?);
        for (id, schema) in context.io(fetch(registry, missing)).await?? {
            stream.decoder.learn(id, schema.as_deref());
            stream.schemas.extend(schema.map(|schema| (id, schema)));
        }
        Ok(())
    }

    /// The end.
    pub fn end(&mut self) -> &mut dyn End {
        match self {
            Self::Stream(stream) => stream.end.as_mut(),
            Self::Exchange(end) => end.as_mut(),
        }
    }

    /// The watermark of the lane's own source; none behind an exchange, or without windows.
    pub fn watermark(&mut self) -> Option<&mut SourceWatermark> {
        match self {
            Self::Stream(stream) => stream.watermark.as_mut(),
            Self::Exchange(_) => None,
        }
    }

    /// What plugin calls cost since this was last asked.
    pub fn take_usage(&mut self) -> Usage {
        let mut usage = self.end().take_usage();
        if let Self::Stream(stream) = self {
            for stage in &mut stream.stages {
                usage = usage.and(stage.take_usage());
            }
        }
        usage
    }
}

/// Records to rows, through the stages, to the end.
pub struct StreamIntake {
    decoder: Decoder,
    /// How records are decoded, for dead letters.
    decoding: Decoding,
    /// It never learns a schema, and so tells which ones a record names.
    unlearned: Decoder,
    /// Those that the decoder has learned.
    schemas: HashMap<u32, Arc<RegisteredSchema>>,
    /// Where rows stand, if not in the records.
    announced: Option<AnnouncedReader>,
    event_time: Option<EventTime>,
    step: Arc<str>,
    stages: Vec<FusedStage>,
    watermark: Option<SourceWatermark>,
    end: Box<dyn RowEnd>,
}

impl StreamIntake {
    /// `step` is named by dead letters that no plugin caused.
    pub fn new(
        input: &StreamInput,
        step: &str,
        batch_rows: usize,
        stages: Vec<FusedStage>,
        watermark: Option<SourceWatermark>,
        end: Box<dyn RowEnd>,
    ) -> Self {
        Self {
            decoder: Decoder::new(input),
            decoding: Decoding::of(input),
            unlearned: Decoder::new(input),
            schemas: HashMap::new(),
            announced: input.objects.as_ref().map(|objects| AnnouncedReader::new(input, objects, batch_rows)),
            event_time: input.event_time.filter(|_| watermark.is_some()),
            step: step.into(),
            stages,
            watermark,
            end,
        }
    }

    fn take(&mut self, source: Source, dead: &mut DeadLetters) -> Result<(), EngineError> {
        if self.announced.is_none() {
            return self.decode(source, dead);
        }
        let source = Arc::new(source);
        while let Some(piece) = self.announced.as_mut().map_or(Ok(None), |reader| reader.next_piece(&source))? {
            match piece {
                Piece::Records(lines) => self.decode(*lines, dead)?,
                Piece::Rows(mut source, rows) => {
                    self.tell_time(&rows, &mut source);
                    self.process(*rows, &Arc::from(source), dead)?;
                }
                Piece::RefusedRow(row, complaint) => dead.push(&self.step, &row, 0, &complaint),
                Piece::Refused(record, complaint) => dead.push(&self.step, &source, record, &complaint),
            }
        }
        Ok(())
    }

    fn decode(&mut self, mut source: Source, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let decoded = self.decoder.decode(&source.fetched.records);
        for refused in decoded.rejected {
            let complaint = Complaint { part: refused.field, ..Complaint::new(Cause::Decode, refused.reason) };
            let basis = self.decoded_by(&source.fetched.records.slice(refused.record as usize, 1));
            dead.push(&self.step, &source, refused.record, &complaint.on(basis));
        }
        let rows = Rows {
            columns: decoded.columns,
            origin: UInt32Array::from(decoded.rows),
            deletes: decoded.deletes,
            changes: decoded.changes.map(Arc::new),
        };
        self.tell_time(&rows, &mut source);
        self.process(rows, &Arc::new(source), dead)
    }

    /// How a record is decoded.
    fn decoded_by(&self, record: &Records) -> Basis {
        let named = self.unlearned.missing(record).into_iter();
        let schemas = named.map(|id| (id, self.schemas.get(&id).cloned())).collect();
        Basis::Decoding(Decoding { schemas, ..self.decoding.clone() })
    }

    /// Takes rows through the stages to the end.
    fn process(&mut self, rows: Rows, source: &Arc<Source>, dead: &mut DeadLetters) -> Result<(), EngineError> {
        let mut pieces = vec![rows];
        for stage in &mut self.stages {
            let mut next = Vec::with_capacity(pieces.len());
            for rows in pieces.iter().filter(|rows| !rows.is_empty()) {
                next.extend(stage.process(rows, source, dead)?);
            }
            pieces = next;
        }
        pieces.iter().filter(|rows| !rows.is_empty()).try_for_each(|rows| self.end.rows(rows, source, dead))
    }

    /// Notes each record's event time, and the watermark before it.
    fn tell_time(&mut self, rows: &Rows, source: &mut Source) {
        let (Some(event_time), Some(watermark)) = (self.event_time, &mut self.watermark) else { return };
        let times_of =
            |column: usize| rows.columns.get(column)?.as_ref()?.as_primitive_opt::<TimestampMicrosecondType>();
        let Some(times) = times_of(event_time.column) else { return };
        let told = event_time.told.and_then(|told| Some((times_of(told.watermark)?, times_of(told.reached)?)));
        let records = source.fetched.records.len();
        source.event_times = vec![NO_TIME; records];
        source.watermarks = vec![NO_TIME; records];
        for (row, record) in rows.origin.values().iter().enumerate() {
            if times.is_valid(row) {
                source.event_times[*record as usize] = times.value(row);
                let at =
                    |times: &TimestampMicrosecondArray| if times.is_valid(row) { times.value(row) } else { NO_TIME };
                source.watermarks[*record as usize] = match told {
                    Some((before, reached)) => watermark.pass_told(times.value(row), at(before), at(reached)),
                    None => watermark.pass(times.value(row)),
                };
            }
        }
    }
}
