//! What a host keeps on its machine is nobody else's to read: records, and positions of connections.

use std::fs::DirBuilder;
use std::io;
use std::path::Path;

/// Makes a directory, and those above it, that only their owner may enter. One that exists stays as it is: somebody
/// made it so.
pub fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_enters_a_directory_that_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let (made, there) = (folder.path().join("new/data"), folder.path().join("there"));
        std::fs::create_dir(&there).unwrap();
        std::fs::set_permissions(&there, PermissionsExt::from_mode(0o755)).unwrap();
        let mode = |directory: &Path| directory.metadata().unwrap().permissions().mode() & 0o777;
        make_directory(&made).unwrap();
        make_directory(&there).unwrap();
        assert_eq!((mode(&made), mode(&there)), (0o700, 0o755));
    }
}
