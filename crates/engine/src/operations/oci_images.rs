//! What clients say about images that they made elsewhere. It is kept and shown; nothing here runs such an image.

use renga_model::{AppId, OciImage, OciImageId, Refusal, limits};

use super::access::app_row;
use crate::Engine;

impl Engine {
    /// `facts` is JSON that only the faces understand.
    pub async fn oci_image_create(
        &self,
        app: AppId,
        digest: String,
        facts: String,
    ) -> Result<OciImage, Refusal> {
        let image = OciImage { id: OciImageId::random(), app, digest, facts, created_at: self.now() };
        let insert = self.store.write(move |tx| -> Result<OciImage, Refusal> {
            app_row(tx, app)?;
            let most = limits::OCI_IMAGES_PER_APP_MAX;
            if tx.oci_image_list(app)?.len() >= most {
                return Err(Refusal::invalid(format!("An app may have at most {most} OCI images.")));
            }
            tx.oci_image_insert(&image)?;
            Ok(image)
        });
        insert.await
    }

    /// Those that this id or digest names, oldest first; never none.
    pub async fn oci_image_find(&self, app: AppId, identity: &str) -> Result<Vec<OciImage>, Refusal> {
        let mut images = self.store.read(move |read| read.oci_image_list(app).map_err(Refusal::from)).await?;
        images.retain(|image| image.digest == identity || image.id.to_string() == identity);
        if images.is_empty() { Err(Refusal::not_found("oci_image")) } else { Ok(images) }
    }
}
