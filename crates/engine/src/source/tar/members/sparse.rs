//! Maps of sparse members: GNU's own header, and PAX formats 0.0, 0.1 and 1.0.

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::super::pax::Sparse;
use super::{BLOCK_BYTES, Members, padding};
use crate::error::Result;
use crate::source::limits::{MAX_CONTENT_BYTES, MAX_SPARSE_PIECES};

type Pieces = (Vec<(u64, u64)>, u64);

impl Members<'_> {
    /// Pieces of data and the real size of a sparse file; none for any other.
    pub(super) fn sparse_pieces(&mut self, header: &Header, pax: &Sparse, stored: u64) -> Result<Option<Pieces>> {
        let (pieces, size) = if header.entry_type().is_gnu_sparse() {
            self.gnu_map(header)?
        } else if let Some(size) = pax.size {
            let pieces = if pax.map_in_data { self.map_in_data()? } else { pax.pieces.clone() };
            (pieces, size)
        } else if pax.pieces.is_empty() && !pax.map_in_data {
            return Ok(None);
        } else {
            return Err(self.refuse("a sparse file does not say how large it is"));
        };
        // A GNU map lies outside of what the size counts, the map in the data within.
        self.body.padding = padding(stored);
        self.check(&pieces, size)?;
        Ok(Some((pieces, size)))
    }

    fn check(&self, pieces: &[(u64, u64)], size: u64) -> Result<()> {
        let bad = || self.refuse("the map of a sparse file does not fit its size");
        let mut end = 0;
        let mut data = 0u64;
        for (offset, length) in pieces {
            if *offset < end {
                return Err(bad());
            }
            end = offset.checked_add(*length).ok_or_else(bad)?;
            data += length;
        }
        if end > size || data != self.body.stored_left || size > MAX_CONTENT_BYTES || pieces.len() > MAX_SPARSE_PIECES {
            return Err(bad());
        }
        Ok(())
    }

    fn gnu_map(&mut self, header: &Header) -> Result<Pieces> {
        let gnu = header.as_gnu().ok_or_else(|| self.refuse("a sparse file has no GNU header"))?;
        let size = gnu.real_size().map_err(|error| self.refuse(error))?;
        let mut pieces = Vec::new();
        self.add_pieces(&mut pieces, &gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let block = self.block()?.ok_or_else(|| self.refuse("it ends within the map of a sparse file"))?;
            let mut extension = GnuExtSparseHeader::new();
            extension.as_mut_bytes().copy_from_slice(&block);
            self.add_pieces(&mut pieces, extension.sparse())?;
            more = extension.is_extended();
        }
        Ok((pieces, size))
    }

    fn add_pieces(&self, pieces: &mut Vec<(u64, u64)>, headers: &[GnuSparseHeader]) -> Result<()> {
        for header in headers.iter().filter(|header| !header.is_empty()) {
            let offset = header.offset().map_err(|error| self.refuse(error))?;
            let length = header.length().map_err(|error| self.refuse(error))?;
            pieces.push((offset, length));
        }
        if pieces.len() > MAX_SPARSE_PIECES {
            return Err(self.refuse("a sparse file has too many pieces"));
        }
        Ok(())
    }

    /// Format 1.0: decimal lines (number of pieces, then offset and length of each), filled to a whole block.
    fn map_in_data(&mut self) -> Result<Vec<(u64, u64)>> {
        let before = self.body.stored_left;
        let count = self.decimal_line()?;
        if count > MAX_SPARSE_PIECES as u64 {
            return Err(self.refuse("a sparse file has too many pieces"));
        }
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push((self.decimal_line()?, self.decimal_line()?));
        }
        let mut filling = [0; BLOCK_BYTES as usize];
        let rest = padding(before - self.body.stored_left) as usize;
        self.stored(&mut filling[..rest])?;
        Ok(pieces)
    }

    fn decimal_line(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for _ in 0..20 {
            let mut byte = [0];
            self.stored(&mut byte)?;
            let digit = match byte[0] {
                b'\n' => return Ok(value),
                digit @ b'0'..=b'9' => u64::from(digit - b'0'),
                _ => break,
            };
            value = value.saturating_mul(10).saturating_add(digit);
        }
        Err(self.refuse("the map of a sparse file is malformed"))
    }
}
